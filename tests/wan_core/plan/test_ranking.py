"""The order of the plans of one request."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wan_core.plan.draws import inventories, requests
from tests.wan_core.plan.worlds import inventory_of, request_of
from wan_core.catalog.models import MODELS
from wan_core.plan.criteria import DEFAULT_CRITERIA, Criteria
from wan_core.plan.inventory import Inventory
from wan_core.plan.ladder import build_ladder
from wan_core.plan.places import survey
from wan_core.plan.ranking import rank_plans
from wan_core.plan.request import Request
from wan_core.plan.verdicts import Judged

L4, H100 = "NVIDIA-L4", "NVIDIA-H100-80GB-HBM3"


def ranked(request: Request, inventory: Inventory, criteria: Criteria = DEFAULT_CRITERIA) -> list[Judged]:
    return rank_plans(request, MODELS[request.model], survey(inventory), criteria)


@settings(max_examples=25, deadline=None)
@given(requests(), inventories, st.sampled_from(["time", "cost"]))
def test_what_fits_is_in_the_order_asked_for_and_what_does_not_stands_where_it_would_be_preferred(
    request: Request, inventory: Inventory, order: str
) -> None:
    criteria = Criteria(order=order, prices={"NVIDIA-L4": 0.7, "NVIDIA-H200": 4.0})  # type: ignore[arg-type]
    found = ranked(request, inventory, criteria)
    keys = [one.key(criteria.order) for one in found if one.fits]
    assert keys == sorted(keys)
    never = [one.candidate.rank for one in found if not one.fits]
    assert never == sorted(never)
    for before, after in itertools.pairwise(found):
        if after.fits and not before.fits:
            assert before.candidate.rank < after.candidate.rank


@settings(max_examples=25, deadline=None)
@given(requests(), inventories)
def test_the_first_that_fits_is_the_one_that_the_ladder_takes(request: Request, inventory: Inventory) -> None:
    first = next((one.candidate.plan for one in ranked(request, inventory) if one.fits), None)
    taken = next((rung.plan for rung in build_ladder([request], inventory).runnable), None)
    assert first == taken


def test_no_plan_loses_more_than_the_request_allows() -> None:
    for quality in ("lossless", "near"):
        request = request_of("t2v-A14B", quality=quality)
        assert {one.candidate.plan.tier.value for one in ranked(request, inventory_of(L4))} <= {
            "lossless",
            quality,
        }


def test_a_lower_floor_changes_nothing_before_it() -> None:
    strict, free = (
        ranked(request_of("t2v-A14B", quality=q), inventory_of(H100)) for q in ("lossless", "near")
    )
    plans = [one.candidate.plan for one in free if one.candidate.plan.tier.value == "lossless"]
    assert [one.candidate.plan for one in strict] == plans
