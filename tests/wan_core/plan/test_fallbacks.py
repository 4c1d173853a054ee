"""What would be tried next."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wan_core.plan.worlds import inventory_of, request_of
from wan_core.errors import TABLE, Category
from wan_core.plan.choose import Failure
from wan_core.plan.fallbacks import fallbacks
from wan_core.plan.ladder import build_ladder

LADDER = build_ladder((request_of("t2v-1.3B", quality="near"),), inventory_of("NVIDIA-H100-80GB-HBM3"))


def test_each_failure_that_another_plan_can_help_has_its_answer() -> None:
    found = fallbacks(LADDER)
    assert {fallback.category for fallback in found} == {c for c, row in TABLE.items() if row.other_plan}
    assert {fallback.plan for fallback in found} == {LADDER.runnable[0].plan.label}


def test_after_the_gpus_memory_did_not_suffice_less_is_needed() -> None:
    by_label = {rung.plan.label: rung for rung in LADDER.rungs}
    first = LADDER.runnable[0]
    (memory,) = (f for f in fallbacks(LADDER) if f.category is Category.CUDA_OUT_OF_MEMORY)
    assert memory.then
    assert all(by_label[label].memory.peak_gib < first.memory.peak_gib for label in memory.then)


def test_where_nothing_runs_nothing_follows() -> None:
    assert fallbacks(build_ladder((request_of("t2v-A14B"),), inventory_of("Tesla-T4", host_gib=16))) == ()


@settings(max_examples=30)
@given(st.lists(st.integers(0, 2), max_size=12))
def test_every_chain_of_failures_ends(choices: list[int]) -> None:
    failures: tuple[Failure, ...] = ()
    seen = 0
    while found := fallbacks(LADDER, failures):
        taken = found[choices[seen % len(choices)] % len(found)] if choices else found[0]
        failures = (*failures, Failure(taken.plan, taken.category, taken.product))
        seen += 1
        assert seen <= len(LADDER.rungs) * 3
