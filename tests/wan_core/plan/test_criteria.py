"""Time and cost on a product, and which of two counts more."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_core.plan.worlds import request_of
from wan_core.catalog.gpus import find_gpu
from wan_core.catalog.models import MODELS
from wan_core.plan.calibration import Calibration, Measurement
from wan_core.plan.criteria import (
    DEFAULT_CRITERIA,
    NOWHERE,
    Course,
    Criteria,
    Need,
    Order,
    find_course,
    find_need,
)
from wan_core.plan.duration import TimeEstimate, estimate_time
from wan_core.plan.memory import estimate_memory
from wan_core.plan.span import NOTHING, Span, point
from wan_core.plan.techniques import Plan

L4, H100 = "NVIDIA-L4", "NVIDIA-H100-80GB-HBM3"
CARD, REQUEST = MODELS["t2v-1.3B"], request_of("t2v-1.3B")
PLAN = Plan(model="t2v-1.3B", device="cuda", techniques=("bf16", "resident"))


def course(seconds: float | None, price: float | None = None) -> Course:
    time = TimeEstimate(
        load_s=NOTHING,
        compile_s=NOTHING,
        text_s=NOTHING,
        denoise_s=point(seconds or 0.0),
        decode_s=NOTHING,
        upload_s=NOTHING,
        seconds_per_step=NOTHING,
        basis="measured",
    )
    return Course(time if seconds is not None else None, point(price) if price is not None else None)


@pytest.mark.parametrize(
    ("order", "better", "worse"),
    [
        pytest.param("time", course(5, 9), course(6, 1), id="the faster one, whatever it costs"),
        pytest.param("cost", course(9, 1), course(5, 2), id="the cheaper one, however slow"),
        pytest.param("time", course(5, 1), course(5, 2), id="of equal times the cheaper one"),
        pytest.param("cost", course(5, 1), course(9, 1), id="of equal costs the faster one"),
        pytest.param("time", course(9, 9), NOWHERE, id="a time before none"),
        pytest.param("cost", course(9, 9), course(1), id="a cost before none"),
        pytest.param("cost", course(1), NOWHERE, id="where neither has a cost, a time before none"),
    ],
)
def test_what_was_asked_for_counts_first_and_what_is_unknown_last(
    order: Order, better: Course, worse: Course
) -> None:
    assert better.rank(order) < worse.rank(order)


FIGURES = st.none() | st.floats(0, 1e6)


@given(st.lists(st.builds(course, FIGURES, FIGURES), max_size=6))
def test_any_courses_have_an_order(courses: list[Course]) -> None:
    for order in get_args(Order):
        ranked = sorted(courses, key=lambda one: one.rank(order))
        assert all(a.rank(order) <= b.rank(order) for a, b in itertools.pairwise(ranked))


def test_where_nothing_was_measured_the_need_is_as_estimated() -> None:
    assert find_need(DEFAULT_CRITERIA, PLAN, CARD, REQUEST, L4) == Need(estimate_memory(PLAN, CARD, REQUEST))


def test_a_product_that_nobody_knows_has_no_time_and_no_cost() -> None:
    criteria = Criteria(prices={"unheard-of": 2.0})
    assert find_course(criteria, PLAN, CARD, REQUEST, "unheard-of") == NOWHERE


def test_a_cost_is_the_price_of_the_whole_time() -> None:
    found = find_course(Criteria(prices={L4: 3.6}), PLAN, CARD, REQUEST, L4)
    time = estimate_time(PLAN, CARD, REQUEST, find_gpu(L4))
    assert time is not None
    assert found.time == time
    assert found.cost == Span(time.total.low * 3.6 / 3600, time.total.high * 3.6 / 3600)
    assert find_course(Criteria(prices={L4: 3.6}), PLAN, CARD, REQUEST, H100).cost is None


def test_what_was_measured_on_a_product_corrects_it_there_and_says_so() -> None:
    plain = find_course(DEFAULT_CRITERIA, PLAN, CARD, REQUEST, L4).time
    assert plain is not None
    measured = Measurement(
        product=L4,
        plan=PLAN.label,
        width=REQUEST.width,
        height=REQUEST.height,
        frames=REQUEST.frames,
        peak_gib=1.2 * estimate_memory(PLAN, CARD, REQUEST).peak_gib,
        seconds_per_step=1.1 * plain.seconds_per_step.middle,
    )
    criteria = Criteria(calibration=Calibration((measured,)))
    there, need = (find(criteria, PLAN, CARD, REQUEST, L4) for find in (find_course, find_need))
    assert "seconds a step x1.10: 1 measured on NVIDIA-L4" in there.note
    assert "memory x" in need.note
    elsewhere = [find(criteria, PLAN, CARD, REQUEST, H100) for find in (find_course, find_need)]
    assert [one.note for one in elsewhere] == ["", ""]
