"""Which rungs ride on one Job: those whose pods may ask for the same. Pure.

Requests of a pod are fixed when it is made, and are the maximum over its rungs. So what one attempt carries
agrees on model, tier and device, and a rung may only come along where the pod stays small enough for a place
that has room for its leader: nothing that rides along keeps the leader from being scheduled, and nothing of a
worse tier is bound while a shape of a better one has not been tried.
"""

from __future__ import annotations

from collections.abc import Sequence

from wan_core.api.status import Verdict
from wan_core.plan.inventory import Inventory
from wan_core.plan.ladder import Rung
from wan_core.plan.places import Place, find_places, fits_empty, fits_now, suited

SMALLEST_CLASS_GIB = 4


def carry(rungs: Sequence[Rung], inventory: Inventory, gpu_products: Sequence[str] = ()) -> tuple[Rung, ...]:
    """The rungs of the next attempt out of those that are open, in order. `rungs` is not empty.

    Of the first rung's model and tier the first that fits now leads, else the first rung.
    """
    first = rungs[0]
    peers = [r for r in rungs if r.plan.model == first.plan.model and r.tier is first.tier]
    leader = next((r for r in peers if r.verdict is Verdict.FITS_NOW), first)
    most = min(host_class(leader), _room_beside(leader, find_places(inventory, gpu_products)))
    return tuple(r for r in rungs if r is leader or (_alike(r, leader) and r.memory.host_gib <= most))


def group(
    rungs: Sequence[Rung], inventory: Inventory, gpu_products: Sequence[str] = ()
) -> tuple[tuple[Rung, ...], ...]:
    """What each attempt would carry if everything that one before it carried had failed."""
    left, groups = list(rungs), []
    while left:
        groups.append(carry(left, inventory, gpu_products))
        left = [r for r in left if not any(r is carried for carried in groups[-1])]
    return tuple(groups)


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
