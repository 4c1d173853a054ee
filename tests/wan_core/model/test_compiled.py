"""Regional compile: one compile serves every block of every expert. CUDA graphs where shapes are small."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from tests.wan_core.model.variants import SMALL, build_ours, draw_inputs, generate, relative_l2, run_ours
from wan_core.model.checkpointing import checkpoint_blocks
from wan_core.model.compiled import LAUNCH_BOUND_TOKENS, Recorded, compile_blocks, is_launch_bound
from wan_core.model.transformer import WanTransformer

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fresh_dynamo")]
DEEP = replace(SMALL, layers=4)


@torch.no_grad()
def test_all_blocks_of_both_experts_share_one_compile() -> None:
    compiled = CompileCounter()
    experts = [compile_blocks(build_ours(DEEP), compiled) for _ in range(2)]
    for expert in experts:
        generate(expert, expert, seed=0)
    assert compiled.frame_count == 1


@torch.no_grad()
def test_the_second_shape_is_the_last_to_be_compiled() -> None:
    compiled = CompileCounter()
    model, counts = compile_blocks(build_ours(DEEP), compiled), []
    for size in (
        (4, 6, 8),
        (2, 4, 4),
        (3, 8, 6),
        (5, 6, 4),
        (6, 4, 8),
        (7, 4, 6),
        (8, 6, 4),
        (9, 4, 4),
        (4, 6, 8),
    ):
        run_ours(model, draw_inputs(DEEP, size))
        counts.append(compiled.frame_count)
    assert counts == [1] + [2] * 8


@torch.no_grad()
def test_hooks_on_blocks_still_run_and_do_not_break_the_graph() -> None:
    compiled, calls = CompileCounter(), []
    model = compile_blocks(build_ours(DEEP), compiled)
    for index, block in enumerate(model.blocks):
        block.register_forward_pre_hook(lambda _module, _inputs, index=index: calls.append(index))
    run_ours(model, draw_inputs(DEEP))
    assert (calls, compiled.frame_count) == (list(range(4)), 1)


@torch.no_grad()
def test_a_copy_of_compiled_blocks_computes_with_its_own_weights() -> None:
    plain, inputs = build_ours(DEEP), draw_inputs(DEEP)
    copied = deepcopy(compile_blocks(deepcopy(plain), "eager"))
    for model in (plain, copied):
        for block in model.blocks:
            block.ffn_out.weight.mul_(2)
    assert relative_l2(run_ours(copied, inputs), run_ours(plain, inputs)) <= 1e-6


def test_checkpointed_blocks_compute_the_same_gradients_compiled() -> None:
    plain, inputs = build_ours(DEEP), draw_inputs(DEEP)
    wrapped = checkpoint_blocks(compile_blocks(deepcopy(plain), "aot_eager"))
    for model in (plain, wrapped):
        run_ours(model, inputs).square().mean().backward()
    for expected, found in zip(plain.parameters(), wrapped.parameters(), strict=True):
        assert relative_l2(found.grad, expected.grad) <= 1e-5


@pytest.mark.parametrize("wrap", [checkpoint_blocks, compile_blocks])
def test_blocks_are_compiled_first_and_once(wrap: Callable[[WanTransformer], WanTransformer]) -> None:
    with pytest.raises(ValueError, match="compile once, before they are checkpointed"):
        compile_blocks(wrap(build_ours(SMALL)))


@pytest.mark.slow  # Inductor's first compile takes 25 s
@torch.no_grad()
def test_the_compiled_blocks_compute_the_same() -> None:
    plain, inputs = build_ours(DEEP), draw_inputs(DEEP)
    compiled = compile_blocks(deepcopy(plain))
    assert relative_l2(run_ours(compiled, inputs), run_ours(plain, inputs)) <= 1e-5


@pytest.mark.parametrize(
    ("tokens", "device", "expected"),
    [
        pytest.param(LAUNCH_BOUND_TOKENS, "cuda", True, id="few tokens"),
        pytest.param(LAUNCH_BOUND_TOKENS + 1, "cuda", False, id="many tokens"),
        pytest.param(1, "cpu", False, id="no CUDA"),
    ],
)
def test_small_shapes_on_cuda_are_launch_bound(tokens: int, device: str, expected: bool) -> None:
    assert is_launch_bound(tokens, torch.device(device)) is expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
@torch.no_grad()
def test_a_recorded_forward_computes_the_same_for_other_inputs() -> None:
    plain = build_ours(DEEP).cuda()
    recorded = Recorded(plain)
    for seed in (0, 1):
        inputs = draw_inputs(DEEP, seed=seed)
        given = (
            inputs.latents.cuda(),
            inputs.timestep.cuda(),
            plain.prepare_text(inputs.states.cuda()),
            type(inputs.rope)(*(table.cuda() for table in inputs.rope)),
        )
        assert relative_l2(recorded(*given), plain(*given)) <= 1e-5
