"""By slices the transformer computes the same, holds less, and is compiled as whole blocks are."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._dynamo.testing import CompileCounter
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from tests.wan_core.model.variants import (
    SMALL,
    VARIANTS,
    build_ours,
    cast,
    draw_inputs,
    generate,
    inputs_of,
    relative_l2,
    run_ours,
)
from wan_core.kernels.attention import build_attention
from wan_core.model import sliced
from wan_core.model.compiled import compile_blocks
from wan_core.model.config import TransformerConfig
from wan_core.model.rope import Rope
from wan_core.model.sliced import SlicedTransformer, divide
from wan_core.model.transformer import FP32, WanTransformer

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(params=[3, 7, 10, 4096])
def slice_tokens(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Fewer than a frame's tokens, as many as some frames', and all of them."""
    monkeypatch.setattr(sliced, "SLICE_TOKENS", request.param)
    return request.param


def by_slices(whole: WanTransformer, **fields: Any) -> SlicedTransformer:
    """The same weights in the other kind."""
    model = SlicedTransformer(whole.config, **fields).eval()
    for name, parameter in model.named_parameters():
        parameter.data = whole.get_parameter(name).data
    return model


@pytest.mark.parametrize("name", VARIANTS)
def test_in_float32_it_computes_what_the_whole_computes(name: str, slice_tokens: int) -> None:
    """Two samples, and a timestep for each frame where the variant has one.

    A product of few rows may be summed in another order than one of many, as the number of threads has it;
    one slice of all is equal to the bit.
    """
    whole, inputs = build_ours(VARIANTS[name]), inputs_of(name)
    found, expected = run_ours(by_slices(whole), inputs), run_ours(whole, inputs)
    assert relative_l2(found, expected) <= (0.0 if slice_tokens == 4096 else 1e-6)


@pytest.mark.slow  # 36 pairs of models, four times each
@pytest.mark.parametrize("name", VARIANTS)
def test_in_bfloat16_it_is_no_further_from_float32_than_the_whole(name: str, slice_tokens: int) -> None:
    whole = build_ours(VARIANTS[name])
    half = cast(deepcopy(whole), torch.bfloat16, FP32)
    part = by_slices(half)
    errors = {half: 0.0, part: 0.0}
    for seed in range(4):
        inputs = inputs_of(name, seed).to(torch.bfloat16)
        exact = run_ours(whole, inputs.to(torch.float32))
        for model in errors:
            errors[model] += relative_l2(run_ours(model, inputs), exact) ** 2
    assert errors[part] ** 0.5 <= 1.1 * errors[half] ** 0.5


@pytest.mark.parametrize("name", ["sdpa", "math", "sliced"])
def test_it_works_with_every_attention(name: str, slice_tokens: int) -> None:
    attend = build_attention(name, CPU, torch.float32)
    whole, inputs = build_ours(SMALL, attend=attend), draw_inputs(SMALL)
    assert relative_l2(run_ours(by_slices(whole, attend=attend), inputs), run_ours(whole, inputs)) <= 1e-6


@given(
    samples=st.integers(1, 3),
    groups=st.integers(1, 40),
    length=st.integers(1, 200),
    most=st.integers(1, 300),
)
def test_slices_cover_each_token_of_each_sample_once_with_its_own_groups(
    samples: int, groups: int, length: int, most: int
) -> None:
    seen = []
    for sample, rows, its in divide(samples, groups * length, groups, most):
        assert sample.stop - sample.start == 1
        assert 0 < rows.stop - rows.start <= most
        assert its == slice(rows.start // length, (rows.stop - 1) // length + 1)
        assert (rows.stop - rows.start) % (its.stop - its.start) == 0
        seen += [(sample.start, row) for row in range(rows.start, rows.stop)]
    assert seen == [(sample, row) for sample in range(samples) for row in range(groups * length)]


@pytest.mark.parametrize(
    ("tokens", "groups", "sizes"),
    [(75_600, 1, {3780}), (32_760, 1, {4095}), (27_280, 31, {3520, 2640}), (1560, 1, {1560})],
    ids=["A14B 720p", "A14B 480p", "5B from an image", "a still"],
)
def test_slices_of_real_videos_are_of_one_size_or_two(tokens: int, groups: int, sizes: set[int]) -> None:
    assert {rows.stop - rows.start for _, rows, _ in divide(1, tokens, groups, sliced.SLICE_TOKENS)} == sizes


@pytest.mark.slow  # compiles
@pytest.mark.usefixtures("fresh_dynamo")
def test_all_blocks_share_the_two_compiles_of_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sliced, "SLICE_TOKENS", 8)
    compiled = CompileCounter()
    for _ in range(2):
        expert = compile_blocks(by_slices(build_ours(SMALL)), compiled)
        generate(expert, expert, seed=0)
    assert compiled.frame_count == 2


@pytest.mark.slow  # compiles
@pytest.mark.usefixtures("fresh_dynamo")
def test_compiled_it_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sliced, "SLICE_TOKENS", 7)
    whole, inputs = build_ours(SMALL), draw_inputs(SMALL)
    model = compile_blocks(by_slices(whole), "aot_eager")
    assert relative_l2(run_ours(model, inputs), run_ours(whole, inputs)) <= 1e-6


WIDE = TransformerConfig(
    dim=5120, ffn_dim=13_824, heads=40, layers=2, in_channels=16, out_channels=16, text_dim=4096
)


@pytest.mark.parametrize("samples", [1, 2])
def test_of_all_tokens_the_stream_and_q_k_v_are_alive_and_of_one_slice_the_rest(samples: int) -> None:
    """8 d a token of each sample, and 20 d a token of a slice: A14B's blocks, 20,480 tokens."""
    tokens, d = 20_480, WIDE.dim
    with FakeTensorMode():
        model = cast(SlicedTransformer(WIDE), torch.bfloat16, FP32)
        latents = torch.empty(samples, 16, 8, 64, 160, dtype=torch.bfloat16)
        text = model.prepare_text(torch.empty(samples, 512, 4096, dtype=torch.bfloat16))
        given = (latents, torch.empty(samples, 1), text, Rope(*torch.empty(2, tokens, WIDE.head_dim // 2)))
        tracker = MemTracker()
        tracker.track_external(model, latents, text)
        before = tracker.get_tracker_snapshot("current")[CPU]["Total"]
        with tracker:
            model(*given)
        peak = tracker.get_tracker_snapshot("peak")[CPU]["Total"] - before
    expected = 8 * d * tokens * samples + 20 * d * 4096
    assert peak == pytest.approx(expected, rel=0.02)
