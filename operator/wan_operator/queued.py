"""Whether an attempt that no node has room for should give way to one with another plan. Pure.

What a pod asks for is fixed when it is made, from what was free then. If its plans still fit nowhere now, but
others have come to fit somewhere, it is made anew, uncharged. Whoever drives `decide` bounds how often.
"""

from __future__ import annotations

from collections.abc import Sequence

from wan_core.api.status import AttemptStatus
from wan_core.plan.choose import Exclusion, exclude, weaker
from wan_core.plan.ladder import Rung
from wan_core.plan.places import Place, find_places, fits_now
from wan_operator.ladders import find_ladder
from wan_operator.planning import Planned, failures_of
from wan_operator.pod_shape import carry
from wan_operator.world import AttemptState, World


def find_freed(world: World, planned: Planned, history: Sequence[AttemptStatus]) -> str | None:
    """A plan of an attempt made now that has room, if the queued one has none."""
    if world.free is None or len(world.living) != 1:
        return None
    attempt = world.living[0]
    if attempt.state is not AttemptState.PENDING or attempt.node is not None or attempt.stopping:
        return None
    ladder, failures = find_ladder(planned.requests, world.free, world.gpu_products), failures_of(history)
    rungs, excluded = weaker(ladder, failures), exclude(ladder, failures)
    places = find_places(world.free, world.gpu_products)
    if any(_has_room(rung, places, excluded) for rung in rungs if rung.plan.label in attempt.plans):
        return None
    carried = carry(rungs, world.free, world.gpu_products) if rungs else ()
    return next((rung.plan.label for rung in carried if _has_room(rung, places, excluded)), None)


def _has_room(rung: Rung, places: Sequence[Place], excluded: Sequence[Exclusion]) -> bool:
    """Whether it could run somewhere now where it has not failed."""
    return any(
        place.kind == rung.plan.device
        and place.has_bf16
        and fits_now(rung.memory, place)
        and not any(e.covers(rung.plan.label, place.product) for e in excluded)
        for place in places
    )
