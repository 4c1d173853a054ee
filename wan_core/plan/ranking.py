"""The plans of one request on an inventory, in the order in which they are preferred, each with its verdict.

Lossless before near, a GPU before the CPU; then what takes less time, or costs less if that is asked for, on
the best place that it fits, whether or not it is free now. What fits nowhere stands where it would be
preferred (`candidates`). Left out are plans below the quality asked for, and those that a better one nearly
beats and that fit nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence

from wan_core.catalog.architecture import ModelCard
from wan_core.plan.candidates import list_candidates
from wan_core.plan.criteria import Criteria, Order
from wan_core.plan.places import Ground
from wan_core.plan.request import Request
from wan_core.plan.verdicts import Judged, judge, match, thin


def rank_plans(request: Request, card: ModelCard, ground: Ground, criteria: Criteria) -> list[Judged]:
    """The plans worth having here, best first."""
    present = {place.capability for place in ground.places if place.kind == "cuda"}
    candidates = list_candidates(card, request, criteria.rates, present)
    within = [c for c in candidates if c.plan.tier.rank <= request.quality.rank]
    matched = thin([match(candidate, ground.places, criteria) for candidate in within])
    return _rank([judge(one, ground, criteria) for one in matched], criteria.order)


def _rank(judged: Sequence[Judged], order: Order) -> list[Judged]:
    """What fits by its key; before each what fits nowhere and would be preferred to it."""
    fitting = sorted((j for j in judged if j.fits), key=lambda j: j.key(order))
    never = [j for j in judged if not j.fits]
    ranked: list[Judged] = []
    for one in fitting:
        while never and never[0].candidate.rank < one.candidate.rank:
            ranked.append(never.pop(0))
        ranked.append(one)
    return [*ranked, *never]
