"""Whether an attempt that waits should give way to one made now. Pure.

What a pod asks for is fixed when it is made. If its plans fit nowhere now, but others have come to fit
somewhere, it is made anew, uncharged; whoever drives `decide` bounds how often. So it is if the administrator
has changed since how pods are made: what it waits for may be what was mended.
"""

from __future__ import annotations

from collections.abc import Sequence

from wan_core.api.status import AttemptStatus
from wan_core.plan.choose import Exclusion, Failure, exclude, weaker
from wan_core.plan.places import Place, find_places, fits_now, suited
from wan_core.plan.pods import carry
from wan_core.plan.rungs import Ladder, Rung
from wan_core.plan.verdicts import judge_again
from wan_operator.planning import Planned, failures_of, ladder_for
from wan_operator.world import AttemptState, Observed, World

# What every pod says for a moment.
ON_ITS_WAY = ("ContainerCreating", "PodInitializing")


def why_anew(world: World, planned: Planned, history: Sequence[AttemptStatus]) -> str | None:
    """Why the one that waits should give way; None if it should not."""
    if len(world.living) != 1:
        return None
    attempt = world.living[0]
    if attempt.state is not AttemptState.PENDING or attempt.stopping:
        return None
    if attempt.outdated and attempt.waiting is not None and attempt.waiting[0] not in ON_ITS_WAY:
        return f"the operator's settings have changed; it waited with {attempt.waiting[0]}"
    freed = find_freed(world, planned, history, attempt) if attempt.node is None else None
    return f"{freed} fits now, none of its own plans does" if freed is not None else None


def find_freed(
    world: World, planned: Planned, history: Sequence[AttemptStatus], attempt: Observed
) -> str | None:
    """A plan of an attempt made now that has room, if the queued one has none.

    Whether there can be one the ladder that is there tells, in a millisecond; only then another is built, of
    what is free: a thousand may wait, and that changes all the time.
    """
    if world.free is None:
        return None
    places, failures = find_places(world.free, world.gpu_products), failures_of(history)
    rungs = tuple(judge_again(rung, places) for rung in planned.ladder.rungs)
    if _freed(planned.ladder.model_copy(update={"rungs": rungs}), places, failures, attempt) is None:
        return None
    return _freed(ladder_for(world, planned.requests, world.free), places, failures, attempt)


def _freed(
    ladder: Ladder, places: Sequence[Place], failures: Sequence[Failure], attempt: Observed
) -> str | None:
    rungs, excluded = weaker(ladder, failures), exclude(ladder, failures)
    if any(_has_room(rung, places, excluded) for rung in rungs if rung.plan.label in attempt.plans):
        return None
    carried = carry(rungs, places) if rungs else ()
    return next((rung.plan.label for rung in carried if _has_room(rung, places, excluded)), None)


def _has_room(rung: Rung, places: Sequence[Place], excluded: Sequence[Exclusion]) -> bool:
    """Whether it could run somewhere now where it has not failed."""
    return any(
        fits_now(rung.need_on(place.product), place)
        and not any(e.covers(rung.plan.label, place.product) for e in excluded)
        for place in suited(rung.plan, places)
    )
