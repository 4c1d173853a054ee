"""Tokens and work against public figures."""

from __future__ import annotations

import pytest

from bench.transformer.workloads import A14B_480P, A14B_720P, TI2V_704P, WORKLOADS, shrink
from wan_core.plan.operations import count_operations


@pytest.mark.parametrize(
    ("name", "tokens", "tflop"),
    [(A14B_480P, 32_760, 1_678), (A14B_720P, 75_600, 6_523), (TI2V_704P, 27_280, 517)],
    ids=["A14B 480p", "A14B 720p", "5B"],
)
def test_tokens_and_work_of_a_forward_are_those_of_the_architecture(
    name: str, tokens: int, tflop: int
) -> None:
    assert WORKLOADS[name].tokens == tokens
    assert WORKLOADS[name].flops / 1e12 == pytest.approx(tflop, rel=2e-3)


@pytest.mark.parametrize("name", WORKLOADS)
def test_work_is_counted_as_the_planner_counts_it(name: str) -> None:
    """Which needs pydantic: it does not travel with the bench."""
    workload = WORKLOADS[name]
    assert workload.flops == count_operations(workload.transformer, workload.tokens).total


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_shrunk_workload_keeps_what_decides_its_path_and_says_that_it_is_small(name: str) -> None:
    whole, small = WORKLOADS[name], shrink(WORKLOADS[name])
    assert small.expand_timesteps == whole.expand_timesteps
    assert small.transformer.in_channels == whole.transformer.in_channels
    assert small.name != whole.name
    assert small.flops < 1e10
