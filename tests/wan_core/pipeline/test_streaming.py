"""Block streaming with the CPU in the GPU's place: what is where, and when. CUDA's streams need a GPU."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

DIM, HEADS = 24, 2


def build_expert(layers: int = 3, dtype: Any = torch.bfloat16) -> Any:
    from wan_core.model.config import TransformerConfig
    from wan_core.model.transformer import WanTransformer, stays_fp32

    torch.manual_seed(0)
    sizes = {"in_channels": 4, "out_channels": 4, "text_dim": 8, "freq_dim": 16}
    expert = WanTransformer(TransformerConfig(dim=DIM, ffn_dim=32, heads=HEADS, layers=layers, **sizes))
    for name, parameter in expert.named_parameters():
        if not stays_fp32(name):
            parameter.data = parameter.data.to(dtype)
    return expert.eval().requires_grad_(False)


def run(expert: Any, device: str = "cpu") -> Any:
    from wan_core.model.rope import build_rope

    generator = torch.Generator().manual_seed(1)
    dtype = expert.text_in.weight.dtype
    latents = torch.randn(1, 4, 2, 4, 4, generator=generator).to(device, dtype)
    text = expert.prepare_text(torch.randn(1, 6, 8, generator=generator).to(device, dtype))
    timestep = torch.tensor([[500.0]], device=device)
    return expert(latents, timestep, text, build_rope((2, 2, 2), DIM // HEADS, device))


def stream(*experts: Any, device: str = "cpu") -> Any:
    from wan_core.pipeline.placement import Residency

    names = ["transformer", "transformer_2"][: len(experts)]
    residency = Residency(dict(zip(names, experts, strict=True)), torch.device(device))
    residency.stream(names)
    return residency


def homes(module: Any) -> dict[str, int]:
    return {name: tensor.data_ptr() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bf16", "fp32"])
def test_streamed_blocks_compute_what_resident_ones_do(layers: int, dtype: Any) -> None:
    expert = build_expert(layers, dtype)
    expected = run(expert)
    residency = stream(expert)
    for _ in range(3):  # the first block comes after the last
        residency.bring("transformer")
        assert torch.equal(run(expert), expected)


def test_weights_are_the_same_after_packing_and_after_a_turn() -> None:
    expert = build_expert()
    before = {name: tensor.clone() for name, tensor in expert.state_dict().items()}
    residency = stream(expert)
    residency.bring("transformer")
    run(expert)
    residency.release()
    after = expert.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert {name: t.dtype for name, t in after.items()} == {name: t.dtype for name, t in before.items()}


def test_one_block_at_a_time_is_away_from_home() -> None:
    expert = build_expert(4)
    residency = stream(expert)
    at_home = [homes(block) for block in expert.blocks]
    away: list[list[int]] = []

    def look(_module: Any, _args: Any, _output: Any) -> None:
        away.append([i for i, block in enumerate(expert.blocks) if homes(block) != at_home[i]])

    for block in expert.blocks:
        block.ffn_out.register_forward_hook(look)
    residency.bring("transformer")
    run(expert)
    assert away == [[0], [1], [2], [3]]
    residency.release()
    assert [homes(block) for block in expert.blocks] == at_home


def test_a_texts_projections_come_only_for_the_text() -> None:
    expert = build_expert()
    residency = stream(expert)
    residency.bring("transformer")
    kv = expert.blocks[0].cross_attention.kv
    home, seen = kv.weight.data_ptr(), []
    kv.register_forward_pre_hook(lambda _m, _a: seen.append(kv.weight.data_ptr()))
    run(expert)
    assert len(seen) == 1
    assert seen[0] != home
    assert kv.weight.data_ptr() == home


def test_a_forward_that_was_stopped_half_way_leaves_nothing_behind() -> None:
    class Stopped(Exception):
        pass

    expert = build_expert(4)
    expected = run(expert)
    residency = stream(expert)

    def stop(_module: Any, _args: Any) -> None:
        raise Stopped

    residency.bring("transformer")
    hook = expert.blocks[2].register_forward_pre_hook(stop)
    with pytest.raises(Stopped):
        run(expert)
    hook.remove()
    assert torch.equal(run(expert), expected)
    residency.release()
    residency.bring("transformer")
    assert torch.equal(run(expert), expected)


class LateCarrier:
    """A stream that copies as late as it may: when a copy is waited for. Till then the buffer is rubbish."""

    pinned = False

    def __init__(self) -> None:
        self.under_way: list[tuple[Any, Any]] = []

    def carry(self, source: Any, target: Any) -> tuple[Any, Any]:
        target.fill_(255)  # of bf16 and float32: not a number
        self.under_way.append((source, target))
        return self.under_way[-1]

    def await_arrival(self, copy: tuple[Any, Any]) -> None:
        source, target = copy
        target.copy_(source)
        self.under_way = [other for other in self.under_way if other is not copy]

    def settle(self) -> None:
        for copy in list(self.under_way):
            self.await_arrival(copy)


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_a_block_waits_for_its_own_copy_however_late_it_comes(layers: int) -> None:
    from wan_core.pipeline.streaming import Streamed

    expert = build_expert(layers)
    expected = run(expert)
    carrier = LateCarrier()
    streamed = Streamed(list(expert.blocks), torch.device("cpu"), carrier)
    streamed.enter()
    for _ in range(2):
        assert torch.equal(run(expert), expected)
    assert len(carrier.under_way) == 1  # the first block, for the next forward
    streamed.leave()
    assert carrier.under_way == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA's streams need a GPU")
def test_on_a_gpu_blocks_come_from_pinned_memory_and_in_time() -> None:
    expert = build_expert(5)
    expected = run(build_expert(5).cuda(), "cuda")
    residency = stream(expert, device="cuda")
    for _ in range(3):
        residency.bring("transformer")
        found = [run(expert, "cuda") for _ in range(4)]
        residency.release()
        assert all(torch.equal(one, expected) for one in found)
    assert all(block.ffn_in.weight.is_pinned() for block in expert.blocks)


def test_the_other_expert_makes_room() -> None:
    experts = build_expert(), build_expert()
    residency = stream(*experts)
    home = homes(experts[0])
    residency.bring("transformer")
    run(experts[0])
    run(experts[1])  # being called brings it
    assert residency.present == "transformer_2"
    assert homes(experts[0]) == home


def test_compiled_blocks_are_streamed_without_compiling_again() -> None:
    from torch._dynamo.testing import CompileCounter

    from wan_core.model.compiled import compile_blocks

    expert = build_expert(4)
    expected = run(expert)
    torch._dynamo.reset()
    counter = CompileCounter()
    residency = stream(compile_blocks(expert, counter))
    for _ in range(2):
        residency.bring("transformer")
        assert torch.equal(run(expert), expected)
        residency.release()
    assert counter.frame_count == 1


def test_pinned_memory_is_taken_for_several_blocks_when_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    from wan_core.pipeline import streaming

    taken: list[int] = []

    def take(size: int, **_: Any) -> Any:
        taken.append(size)
        return torch.zeros(size, dtype=torch.uint8)

    monkeypatch.setattr(streaming.torch, "empty", take)
    masters = streaming.allocate([768] * 6, pinned=True)
    first = next(masters)
    assert (first.numel(), taken) == (768, [5 * 768])  # 3,840 of 4,096 bytes
    assert [master.numel() for master in masters] == [768] * 5
    assert taken == [5 * 768, 768]
