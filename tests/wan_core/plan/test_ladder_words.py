from __future__ import annotations

import pytest

from tests.wan_core.plan.worlds import inventory_of, request_of
from wan_core.api.spec import Quality
from wan_core.plan.criteria import Criteria
from wan_core.plan.ladder import build_ladder
from wan_core.plan.ladder_words import (
    losses,
    percents,
    why_this,
    words_of_amounts,
    words_of_seconds,
    words_of_span,
)
from wan_core.plan.span import Span
from wan_core.plan.techniques import TECHNIQUES

TINY = build_ladder([request_of("wan-tiny")], inventory_of(host_gib=23))
LARGE = build_ladder([request_of("t2v-A14B")], inventory_of("NVIDIA-H100-80GB-HBM3"))
NONE = build_ladder([request_of("t2v-A14B")], inventory_of())


def test_peaks_are_told_as_shares_of_the_gpu_too() -> None:
    largest, fits = LARGE.rungs[:2]
    assert largest.product == fits.product == "NVIDIA-H100-80GB-HBM3"
    shares = [percents(rung) for rung in (largest, fits)]
    assert shares[0] is not None
    assert shares[1] is not None
    assert shares[0][2] == pytest.approx(100 * largest.memory.decode_gib / (81559 / 1024))
    assert max(shares[0]) > 100 > max(shares[1])
    assert {percents(rung) for rung in TINY.rungs} == {None}


def test_what_a_plan_loses_is_said_for_the_techniques_that_lose_something() -> None:
    rungs = build_ladder([request_of("t2v-A14B", quality="near")], inventory_of()).rungs
    assert {rung.tier for rung in rungs} == {Quality.LOSSLESS, Quality.NEAR}
    quality = TECHNIQUES["vae-tiling"].quality
    for rung in rungs:
        told = losses(rung.plan)
        assert bool(told) == (rung.tier is not Quality.LOSSLESS)
        assert all(loss.startswith("vae-tiling: ") and loss.endswith(f"quality: {quality}") for loss in told)


def test_the_plan_taken_is_explained_in_one_sentence() -> None:
    tiny, large = TINY.runnable[0], LARGE.runnable[0]
    assert tiny.time is not None
    why = f"the only plan that fits; {tiny.reason}, {words_of_span(tiny.time.total)}"
    assert why_this(TINY) == f"wan-tiny/cpu/bf16+resident: {why}"
    count = len(LARGE.runnable)
    assert why_this(LARGE).startswith(f"{large.plan.label}: best of {count} that fit; needs ")
    assert why_this(NONE) == ""


@pytest.mark.parametrize(
    ("seconds", "words"), [(1.24, "1.2 s"), (95, "95 s"), (1507, "25 min"), (12345, "3.4 h")]
)
def test_seconds_are_told_in_fitting_units(seconds: float, words: str) -> None:
    assert words_of_seconds(seconds) == words


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(60, 60.2, "about 60 s"), (740, 1380, "12 min to 23 min"), (50, 4000, "50 s to 67 min")],
)
def test_a_range_is_told_by_its_ends_unless_they_read_alike(low: float, high: float, words: str) -> None:
    assert words_of_span(Span(low, high)) == words


def test_costs_are_told_with_two_places() -> None:
    assert words_of_amounts(Span(0.5, 0.5)) == "0.50"
    assert words_of_amounts(Span(0.42, 1.1)) == "0.42 to 1.10"


def test_a_plan_with_a_price_says_what_it_costs() -> None:
    prices = {"NVIDIA-H100-80GB-HBM3": 3.6}
    ladder = build_ladder(
        [request_of("ti2v-5B")], inventory_of("NVIDIA-H100-80GB-HBM3"), criteria=Criteria(prices=prices)
    )
    best = ladder.runnable[0]
    assert best.cost is not None
    assert best.time is not None
    assert best.cost.low == pytest.approx(best.time.total.low / 1000)
    assert why_this(ladder).endswith(f", cost {words_of_amounts(best.cost)}")
