"""The plans of a model that are worth having for a request."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from tests.wan_core.plan.draws import RUNNABLE, requests
from tests.wan_core.plan.worlds import request_of
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.gpu_card import Capability
from wan_core.catalog.models import MODELS
from wan_core.plan.candidates import (
    REFERENCE,
    Candidate,
    list_candidates,
    list_plans,
    suited_capabilities,
)
from wan_core.plan.duration import estimate_time
from wan_core.plan.memory import estimate_memory
from wan_core.plan.request import Request
from wan_core.plan.techniques import GROUPS, REQUIRED, TECHNIQUES, Plan

T4, H100 = (7, 5), (9, 0)


def techniques_of(request: Request) -> set[str]:
    found = list_candidates(MODELS[request.model], request)
    return {technique for candidate in found for technique in candidate.plan.techniques}


@settings(max_examples=30, deadline=None)
@given(requests())
def test_no_candidate_is_beaten_by_a_better_one_and_none_is_slower_for_nothing(request: Request) -> None:
    found = list_candidates(MODELS[request.model], request)
    assert [c.rank for c in found] == sorted(c.rank for c in found)
    assert not any(a.beats(b) for i, a in enumerate(found) for b in found[i + 1 :])


def candidate_of(plan: Plan, request: Request) -> Candidate:
    card = MODELS[request.model]
    time = estimate_time(plan, card, request, REFERENCE)
    assert time is not None
    return Candidate(plan, card, request, estimate_memory(plan, card, request), time.total.middle)


@settings(max_examples=20, deadline=None)
@given(requests())
def test_each_plan_left_out_is_beaten_by_a_better_one_that_is_kept(request: Request) -> None:
    card = MODELS[request.model]
    kept = list_candidates(card, request)
    for plan in set(list_plans(card)) - {candidate.plan for candidate in kept}:
        out = candidate_of(plan, request)
        assert any(one.rank < out.rank and one.beats(out) for one in kept), plan.label


def test_what_no_plan_depends_on_makes_no_other_list() -> None:
    card, asked = MODELS["ti2v-5B"], request_of("ti2v-5B", image="s3://inputs/a.png")
    for change in ({"prompt": "x"}, {"seed": 9}, {"image": "s3://b-b/c.png"}, {"quality": "near"}):
        assert list_candidates(card, asked.model_copy(update=change)) is list_candidates(card, asked)
    still = asked.model_copy(update={"frames": 1})
    assert list_candidates(card, still) is not list_candidates(card, asked)


def test_both_passes_at_once_are_for_requests_of_two_passes() -> None:
    guided, plain = (
        techniques_of(request_of("t2v-A14B", guidance=guidance))
        for guidance in ({"high": 4, "low": 3}, {"high": 1, "low": 1})
    )
    assert "guidance-batching" not in plain
    assert guided - {"guidance-batching"} <= set(TECHNIQUES)


@pytest.mark.parametrize("card", RUNNABLE, ids=lambda card: card.id)
def test_every_plan_is_listed_once_and_is_for_a_device_of_its_model(card: ModelCard) -> None:
    plans = list_plans(card)
    assert len({plan.label for plan in plans}) == len(plans)
    assert {plan.device for plan in plans} == set(card.devices)
    for plan in plans:
        groups = [TECHNIQUES[technique].group for technique in plan.techniques]
        assert set(REQUIRED) <= set(groups) <= set(GROUPS)


@pytest.mark.parametrize(
    ("techniques", "taken", "refused"),
    [
        pytest.param(("bf16", "resident"), {None, H100}, {T4}, id="bf16: recent and unknown ones"),
        pytest.param(("fp32", "resident"), {T4}, {None, H100}, id="fp32: older ones alone"),
        pytest.param(("resident",), {None, T4, H100}, set(), id="where it computes in is all the same"),
    ],
)
def test_an_unknown_gpu_counts_as_a_recent_one(
    techniques: tuple[str, ...], taken: set[Capability | None], refused: set[Capability | None]
) -> None:
    found = suited_capabilities(techniques)
    assert taken <= found
    assert not refused & found


def test_plans_for_older_gpus_are_listed_where_one_is_present() -> None:
    card, request = MODELS["t2v-1.3B"], request_of("t2v-1.3B")
    here, nowhere = (list_candidates(card, request, present=present) for present in ({T4}, {H100}))
    assert {c.plan.techniques[0] for c in here} == {"bf16", "fp32"}
    assert {c.plan.techniques[0] for c in nowhere} == {"bf16"}
