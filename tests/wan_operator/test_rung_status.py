"""A rung in the status says what the planner said: one engine for the cluster and the command line."""

from __future__ import annotations

from typing import Any

import pytest

from tests.wan_core.plan.worlds import inventory_of, request_of
from wan_core.api.status import CURES_MAX, RungStatus, Verdict
from wan_core.plan.calibration import Calibration, Measurement
from wan_core.plan.criteria import Criteria
from wan_core.plan.ladder import build_ladder
from wan_core.plan.rungs import Ladder
from wan_operator.status import rung_status

H100, L4 = "NVIDIA-H100-80GB-HBM3", "NVIDIA-L4"


def ladder_of(*products: str, **more: Any) -> Ladder:
    asked = [request_of("t2v-A14B", quality="near")]
    return build_ladder(asked, inventory_of(*products), criteria=Criteria(**more))


LADDERS = [
    pytest.param(ladder_of(H100), id="fits now"),
    pytest.param(ladder_of(), id="fits nowhere"),
    pytest.param(ladder_of(H100, prices={H100: 2.5}), id="with a price"),
]


@pytest.mark.parametrize("ladder", LADDERS)
def test_the_status_says_what_the_ladder_says(ladder: Ladder) -> None:
    for rung in ladder.rungs:
        told, known = rung_status(rung), (rung.plan.label, rung.tier, rung.verdict, rung.reason)
        assert (told.plan, told.tier, told.verdict, told.reason) == known
        assert told.would_fit_if == list(rung.would_fit_if)
        assert told.estimate.vram_gib == pytest.approx(rung.need.peak_gib, abs=0.01)
        assert told.estimate.gpu == (rung.product or None)
        assert (told.estimate.seconds is None) == (rung.time is None)
        assert (told.estimate.cost_low is None) == (rung.cost is None)
        assert len(told.would_fit_if) <= CURES_MAX


def test_seconds_lie_between_their_bounds_and_so_do_costs() -> None:
    for rung in ladder_of(H100, prices={H100: 2.5}).runnable:
        estimate = rung_status(rung).estimate
        assert estimate.seconds_low is not None
        assert estimate.seconds is not None
        assert estimate.seconds_high is not None
        assert estimate.seconds_low <= estimate.seconds <= estimate.seconds_high
        assert estimate.cost_low == pytest.approx(estimate.seconds_low * 2.5 / 3600, rel=0.01)


def test_each_phase_is_a_share_of_the_gpu() -> None:
    for rung in ladder_of(H100, L4).rungs:
        estimate = rung_status(rung).estimate
        assert estimate.percents is not None
        assert estimate.vram_gib is not None
        largest = max(estimate.percents.text, estimate.percents.denoise, estimate.percents.decode)
        whole = {H100: 81559 / 1024, L4: 23034 / 1024}[estimate.gpu or ""]
        assert largest == pytest.approx(100 * estimate.vram_gib / whole, abs=0.1)
        assert (largest > 100) == (rung.verdict is Verdict.NEVER and "host" not in rung.reason)


def test_what_measurements_corrected_is_said() -> None:
    plain = ladder_of(H100).runnable[0]
    row = Measurement(
        product=H100, plan=plain.plan.label, width=1280, height=720, frames=81, seconds_per_step=60.0
    )
    rung = next(
        r for r in ladder_of(H100, calibration=Calibration((row,))).rungs if r.plan.label == plain.plan.label
    )
    told = rung_status(rung)
    assert told.estimate.basis == "measured"
    assert told.notes == list(rung.notes)
    assert told.notes
    assert rung_status(plain).notes == []


def test_a_status_of_an_operator_before_this_one_is_still_read() -> None:
    old = {
        "plan": "a/cuda/bf16+resident",
        "tier": "lossless",
        "estimate": {"vramGib": 1.0, "hostGib": 2.0, "seconds": 3.0},
        "verdict": "Never",
        "reason": "x",
        "wouldFitIf": ["y"],
    }
    assert RungStatus.model_validate(old).estimate.seconds == 3.0
