"""Corrections: none without a measurement, bounded with one, said, and the same in whatever order."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_core.plan.worlds import request_of
from wan_core.catalog.gpus import find_gpu
from wan_core.catalog.models import MODELS
from wan_core.plan.calibration import (
    MEMORY_FACTORS,
    NO_CALIBRATION,
    TIME_FACTORS,
    Calibration,
    Corrected,
    Measurement,
    correct_memory,
    correct_time,
)
from wan_core.plan.duration import TimeEstimate, estimate_time
from wan_core.plan.memory import MemoryEstimate, estimate_memory
from wan_core.plan.techniques import Plan

L4 = "NVIDIA-L4"
CARD = MODELS["ti2v-5B"]
PLAN = Plan(model=CARD.id, device="cuda", techniques=("bf16", "block-streaming"))
SHAPE = {"width": 1280, "height": 704, "frames": 121}


def measured(**fields: object) -> Measurement:
    return Measurement.model_validate({"product": L4, "plan": PLAN.label, **SHAPE, **fields})


def time_of(table: Calibration, product: str = L4, **fields: object) -> Corrected[TimeEstimate]:
    request = request_of(CARD.id, **fields)
    found = estimate_time(PLAN, CARD, request, find_gpu(product))
    assert found is not None
    return correct_time(table, found, PLAN, CARD, request, product)


def memory_of(table: Calibration, product: str = L4, **fields: object) -> Corrected[MemoryEstimate]:
    request = request_of(CARD.id, **fields)
    return correct_memory(table, estimate_memory(PLAN, CARD, request), PLAN, CARD, request, product)


def table_of(*measurements: Measurement) -> Calibration:
    return Calibration(measurements)


ESTIMATED_STEP = time_of(NO_CALIBRATION).estimate.seconds_per_step.middle
ESTIMATED_PEAK = memory_of(NO_CALIBRATION).estimate.peak_gib


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"product": "NVIDIA-L40S"}, id="another GPU"),
        pytest.param({"plan": "ti2v-5B/cuda/bf16+resident"}, id="another plan"),
        pytest.param({"plan": "t2v-A14B/cuda/bf16+block-streaming"}, id="another model"),
    ],
)
def test_without_a_measurement_of_it_nothing_is_corrected(other: dict[str, object]) -> None:
    table = table_of(measured(seconds_per_step=99.0, peak_gib=3.0, **other)) if other else NO_CALIBRATION
    time, memory = time_of(table), memory_of(table)
    assert time == Corrected(time_of(NO_CALIBRATION).estimate)
    assert memory == Corrected(memory_of(NO_CALIBRATION).estimate)
    assert (time.factor, time.note, memory.note) == (1.0, "", "")


def test_a_measurement_of_the_very_shape_is_what_is_expected_of_the_next() -> None:
    found = time_of(table_of(measured(seconds_per_step=1.2 * ESTIMATED_STEP, source="results in status")))
    assert found.estimate.seconds_per_step.is_point
    assert found.estimate.seconds_per_step.low == pytest.approx(1.2 * ESTIMATED_STEP)
    assert found.estimate.basis == "measured"
    assert found.note == ("seconds a step x1.20: 1 measured on NVIDIA-L4 at 1280x704x121 (results in status)")
    assert found.note in found.estimate.sources


def test_only_denoising_is_corrected_by_seconds_a_step() -> None:
    before, after = (
        time_of(NO_CALIBRATION).estimate,
        time_of(table_of(measured(seconds_per_step=20.0))).estimate,
    )
    others = ("load_s", "compile_s", "text_s", "decode_s", "upload_s")
    assert [getattr(after, name) for name in others] == [getattr(before, name) for name in others]
    assert after.denoise_s.low >= 50 * 20.0


def test_the_nearest_shape_counts_and_keeps_the_width_of_the_range() -> None:
    near = measured(seconds_per_step=1.5 * ESTIMATED_STEP)
    far = measured(seconds_per_step=0.05, width=64, height=64, frames=5)
    before, after = (time_of(t, frames=117).estimate for t in (NO_CALIBRATION, table_of(far, near)))
    ratio = after.seconds_per_step.low / before.seconds_per_step.low
    assert ratio == pytest.approx(1.5, rel=0.001)
    assert after.seconds_per_step.high / before.seconds_per_step.high == pytest.approx(ratio)


def test_one_pass_says_nothing_of_two() -> None:
    table = table_of(measured(seconds_per_step=3.0, guided=False))
    assert time_of(table).note == ""
    assert time_of(table, guidance={"scale": 1}).note


def test_odd_ones_do_not_count_against_many() -> None:
    usual = [measured(seconds_per_step=ESTIMATED_STEP) for _ in range(5)]
    odd = [measured(seconds_per_step=1000 * ESTIMATED_STEP) for _ in range(4)]
    assert time_of(table_of(*odd, *usual)).factor == pytest.approx(1.0)
    assert "9 measured" in time_of(table_of(*odd, *usual)).note


def test_a_median_counts_as_often_as_the_attempts_it_stands_for() -> None:
    many, one = measured(seconds_per_step=ESTIMATED_STEP, count=9), measured(seconds_per_step=9.0)
    assert time_of(table_of(one, many)).factor == pytest.approx(1.0)


def test_memory_takes_the_largest_ratio_of_all_shapes_so_that_less_never_needs_more() -> None:
    small = estimate_memory(PLAN, CARD, request_of(CARD.id, frames=41)).peak_gib
    table = table_of(measured(peak_gib=ESTIMATED_PEAK), measured(frames=41, peak_gib=1.2 * small))
    peaks = [memory_of(table, frames=frames).estimate.peak_gib for frames in (5, 41, 81, 121, 161)]
    assert peaks == sorted(peaks)
    assert memory_of(table).factor == memory_of(table, frames=41).factor > 1.2


def test_how_a_product_is_written_does_not_matter() -> None:
    table = table_of(measured(product="NVIDIA L4", seconds_per_step=ESTIMATED_STEP))
    assert time_of(table, "NVIDIA-L4-SHARED").note


@given(st.floats(1e-6, 1e6))
def test_corrections_stay_within_their_bounds(value: float) -> None:
    table = table_of(measured(seconds_per_step=value, peak_gib=value))
    time, memory = time_of(table), memory_of(table)
    assert TIME_FACTORS[0] <= time.factor <= TIME_FACTORS[1]
    assert MEMORY_FACTORS[0] <= memory.factor <= MEMORY_FACTORS[1]
    step = time.estimate.seconds_per_step
    assert TIME_FACTORS[0] * ESTIMATED_STEP <= step.low * 1.001
    assert step.high <= TIME_FACTORS[1] * ESTIMATED_STEP * 1.001
    assert memory.estimate.peak_gib <= MEMORY_FACTORS[1] * ESTIMATED_PEAK
    assert memory.estimate.peak_gib >= MEMORY_FACTORS[0] * ESTIMATED_PEAK
    assert "bounded from" in time.note or time.factor not in TIME_FACTORS


MEASUREMENTS = st.builds(
    measured,
    frames=st.sampled_from([5, 41, 121]),
    seconds_per_step=st.none() | st.floats(0.1, 100),
    peak_gib=st.none() | st.floats(1, 100),
    guided=st.booleans(),
    count=st.integers(1, 9),
)


@given(st.lists(MEASUREMENTS, max_size=6).flatmap(lambda m: st.tuples(st.just(m), st.permutations(m))))
def test_the_order_of_measurements_does_not_matter(
    tables: tuple[Sequence[Measurement], Sequence[Measurement]],
) -> None:
    one, other = (Calibration(tuple(t)) for t in tables)
    assert time_of(one) == time_of(other)
    assert memory_of(one) == memory_of(other)


def test_a_table_may_be_a_key() -> None:
    one, other = (table_of(measured(peak_gib=3.0)) for _ in range(2))
    assert len({one, other, NO_CALIBRATION}) == 2
