"""The table that many attempts make: the last ones count, and small differences change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from wan_core.plan.calibration import NO_CALIBRATION, Measurement
from wan_core.plan.gathering import LAST, MEMORY_GRID, TIME_GRID, Sample, gather

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def measured(**fields: object) -> Measurement:
    usual = {
        "product": "NVIDIA-L4",
        "plan": "wan-tiny/cuda/bf16+resident",
        "width": 64,
        "height": 64,
        "frames": 17,
    }
    return Measurement.model_validate(usual | fields)


def sample(minute: int, name: str = "a/1", **fields: object) -> Sample:
    return Sample(NOON + timedelta(minutes=minute), name, measured(**fields))


def test_nothing_makes_no_table() -> None:
    assert gather([]) == NO_CALIBRATION


def test_the_median_of_the_last_ones_stands_in_the_table() -> None:
    samples = [sample(n, seconds_per_step=100.0) for n in range(20)]
    samples += [sample(100 + n, seconds_per_step=1.0) for n in range(LAST)]
    (row,) = gather(samples).measurements
    assert row.seconds_per_step == 1.0
    assert row.count == LAST


def test_each_gpu_plan_and_shape_has_its_row() -> None:
    samples = [
        sample(0, seconds_per_step=1.0),
        sample(1, seconds_per_step=1.0, frames=5),
        sample(2, seconds_per_step=1.0, product="NVIDIA-L40S"),
        sample(3, seconds_per_step=1.0, plan="wan-tiny/cuda/bf16+component-offload"),
        sample(4, seconds_per_step=0.5, guided=False),
        sample(5, seconds_per_step=1.0, product="NVIDIA L4"),
    ]
    assert sorted(row.count for row in gather(samples).measurements) == [1, 1, 1, 1, 2]


def test_what_was_told_twice_counts_once() -> None:
    assert gather([sample(0, seconds_per_step=1.0)] * 3).measurements[0].count == 1


def test_a_figure_that_is_missing_is_not_zero() -> None:
    (row,) = gather([sample(0, peak_gib=2.0), sample(1, "b/1", seconds_per_step=1.0)]).measurements
    assert (row.peak_gib, row.seconds_per_step) == (2.007, 1.0)


def test_a_small_difference_changes_nothing() -> None:
    first = [sample(n, seconds_per_step=1.0, peak_gib=4.0) for n in range(LAST)]
    later = [sample(n + 50, seconds_per_step=1.01, peak_gib=4.002) for n in range(LAST)]
    assert gather(first) == gather(first + later)


def test_what_the_administrator_measured_counts_until_a_video_tells() -> None:
    known = measured(seconds_per_step=9.0, source="our bench")
    other = measured(seconds_per_step=8.0, frames=5)
    assert set(gather([], [known, other]).measurements) == {known, other}
    found = gather([sample(0, seconds_per_step=1.0)], [known, other]).measurements
    assert {row.seconds_per_step for row in found} == {1.0, 8.0}


SAMPLES = st.builds(
    sample,
    minute=st.integers(0, 50),
    name=st.sampled_from(["a/1", "b/1", "c/1"]),
    frames=st.sampled_from([1, 5, 17]),
    seconds_per_step=st.floats(0.01, 1000),
    peak_gib=st.floats(0.01, 1000),
)


def distinct(samples: Sequence[Sample]) -> bool:
    return len({(s.key, s.age) for s in samples}) == len(samples)


@given(
    st.lists(SAMPLES, max_size=20)
    .filter(distinct)
    .flatmap(lambda found: st.tuples(st.just(found), st.permutations(found)))
)
def test_the_order_in_which_they_are_told_does_not_matter(
    orders: tuple[Sequence[Sample], Sequence[Sample]],
) -> None:
    assert gather(orders[0]) == gather(orders[1])


@given(st.floats(0.001, 10_000))
def test_rounding_moves_a_figure_by_less_than_its_grid(value: float) -> None:
    (row,) = gather([sample(0, seconds_per_step=value, peak_gib=value)]).measurements
    assert row.seconds_per_step is not None
    assert row.peak_gib is not None
    assert 1 / TIME_GRID < row.seconds_per_step / value < TIME_GRID
    assert 1 / MEMORY_GRID < row.peak_gib / value < MEMORY_GRID
