"""The same function as diffusers' transformer, with the same weights, for every variant."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wan_core.model.variants import (
    SMALL,
    VARIANTS,
    Inputs,
    build_ours,
    build_theirs,
    cast,
    draw_inputs,
    inputs_of,
    relative_l2,
    run_ours,
    run_theirs,
)
from wan_core.model.transformer import FP32

pytestmark = pytest.mark.slow  # imports diffusers

SEEDS = range(4)


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("name", VARIANTS)
def test_in_float32_it_is_the_function_of_diffusers(name: str) -> None:
    ours, theirs, inputs = build_ours(VARIANTS[name]), build_theirs(VARIANTS[name]), inputs_of(name)
    found, expected = run_ours(ours, inputs), run_theirs(theirs, inputs)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    assert relative_l2(found, expected) <= 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
@pytest.mark.parametrize("name", VARIANTS)
def test_in_half_precision_it_is_no_further_from_float32_than_diffusers(
    name: str, dtype: torch.dtype
) -> None:
    """At most 1.1 times as far. Weights are bfloat16 numbers, so what differs is arithmetic alone.

    Ours keeps `FP32` in float32, diffusers its `_keep_in_fp32_modules`: the time embedding, modulation and
    the norms that it has; ours the time projection and the norms of q and k besides.
    """
    theirs = build_theirs(VARIANTS[name])
    exact = deepcopy(theirs)
    ours_half = cast(build_ours(VARIANTS[name]), dtype, FP32)
    theirs_half = cast(theirs, dtype, type(theirs)._keep_in_fp32_modules)
    ours_error = theirs_error = 0.0
    for seed in SEEDS:
        inputs = inputs_of(name, seed).to(dtype)
        reference = run_theirs(exact, inputs.to(torch.float32))
        found = run_ours(ours_half, inputs)
        assert found.dtype is dtype
        ours_error += relative_l2(found, reference) ** 2
        theirs_error += relative_l2(run_theirs(theirs_half, inputs), reference) ** 2
    assert ours_error**0.5 <= 1.1 * theirs_error**0.5


@st.composite
def any_inputs(draw: st.DrawFn) -> Inputs:
    """Any grid, batch, length of text and timesteps, one a sample or one a frame."""
    t, h, w = draw(st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4)))
    per_frame = draw(st.booleans())
    batch, rows, seed = draw(st.integers(1, 3)), draw(st.integers(1, 40)), draw(st.integers(0, 10**6))
    return draw_inputs(SMALL, (t, 2 * h, 2 * w), batch, rows, per_frame=per_frame, seed=seed)


@cache
def both() -> tuple[Any, Any]:
    return build_ours(SMALL), build_theirs(SMALL)


@given(any_inputs())
@settings(max_examples=60)
def test_whatever_the_shape_it_is_the_function_of_diffusers(inputs: Inputs) -> None:
    ours, theirs = both()
    with torch.no_grad():
        assert relative_l2(run_ours(ours, inputs), run_theirs(theirs, inputs)) <= 1e-5


def test_at_the_grids_and_timesteps_of_real_videos_it_is_still_the_function_of_diffusers() -> None:
    """Positions of 81 frames at 1280x720, timesteps from one end to the other."""
    ours, theirs = both()
    for size, timestep in (((21, 2, 2), 999.9), ((1, 90, 2), 500.0), ((1, 2, 160), 0.0)):
        inputs = draw_inputs(SMALL, size, batch=1)
        inputs.timestep.fill_(timestep)
        assert relative_l2(run_ours(ours, inputs), run_theirs(theirs, inputs)) <= 1e-5
