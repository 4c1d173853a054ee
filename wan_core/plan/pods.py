"""Which rungs ride on one Job: those whose pods may ask for the same. Pure.

Requests of a pod are fixed when it is made, and are the maximum over its rungs. So what one attempt carries
agrees on model, tier and device, and a rung may only come along where the pod stays small enough for a place
that has room for its leader: nothing that rides along keeps the leader from being scheduled, and nothing of a
worse tier is bound while a shape of a better one has not been tried.
"""

from __future__ import annotations

from collections.abc import Sequence

from wan_core.api.status import Verdict
from wan_core.plan.places import Place, fits_empty, fits_now, suited
from wan_core.plan.rungs import Rung

# Ours: what Python and CUDA's libraries alone take, to a power of two; no smaller pod is worth another Job.
SMALLEST_CLASS_GIB = 4


def carry(rungs: Sequence[Rung], places: Sequence[Place]) -> tuple[Rung, ...]:
    """The rungs of the next attempt out of those that are open, in order. `rungs` is not empty.

    Of the first rung's model and tier the first that fits now leads, else the first rung.
    """
    first = rungs[0]
    peers = [r for r in rungs if r.plan.model == first.plan.model and r.tier is first.tier]
    leader = next((r for r in peers if r.verdict is Verdict.FITS_NOW), first)
    most = min(host_class(leader), _room_beside(leader, places))
    return tuple(r for r in rungs if r is leader or (_alike(r, leader) and r.memory.host_gib <= most))


def number_jobs(rungs: Sequence[Rung], places: Sequence[Place]) -> tuple[Rung, ...]:
    """Each with the number of its Job, if all that those before it carried had failed."""
    left, jobs = [r for r in rungs if r.verdict is not Verdict.NEVER], dict[str, int]()
    while left:
        carried = {r.plan.label for r in carry(left, places)}
        jobs |= dict.fromkeys(carried, max(jobs.values(), default=0) + 1)
        left = [r for r in left if r.plan.label not in carried]
    return tuple(r.model_copy(update={"job": jobs.get(r.plan.label)}) for r in rungs)


def host_class(rung: Rung) -> int:
    """Host memory in GiB up to which pods count as alike: the next power of two."""
    size = SMALLEST_CLASS_GIB
    while size < rung.memory.host_gib:
        size *= 2
    return size


def _alike(rung: Rung, leader: Rung) -> bool:
    ours, theirs = ((r.plan.model, r.plan.device, r.tier) for r in (rung, leader))
    return ours == theirs


def _room_beside(leader: Rung, places: Sequence[Place]) -> float:
    """The most host memory of a place that has room for the leader, now if it fits now."""
    here = suited(leader.plan, places)
    now = [p.host_free_gib for p in here if fits_now(leader.need_on(p.product), p)]
    empty = [p.host_total_gib for p in here if fits_empty(leader.need_on(p.product), p)]
    return max(now or empty, default=leader.memory.host_gib)
