"""Whether an attempt that no node has room for should give way to one with another plan. Pure.

What a pod asks for is fixed when it is made, from what was free then. If its plans still fit nowhere now, but
others have come to fit somewhere, it is made anew, uncharged. Whoever drives `decide` bounds how often.
"""

from __future__ import annotations

from collections.abc import Sequence

from wan_core.api.status import AttemptStatus, Verdict
from wan_core.plan.choose import weaker
from wan_operator.ladders import find_ladder
from wan_operator.planning import Planned, failures_of
from wan_operator.pod_shape import carry
from wan_operator.world import AttemptState, World


def find_freed(world: World, planned: Planned, history: Sequence[AttemptStatus]) -> str | None:
    """The plan that would lead an attempt made now, if the queued one cannot run and this one can."""
    if world.free is None or len(world.living) != 1:
        return None
    attempt = world.living[0]
    if attempt.state is not AttemptState.PENDING or attempt.node is not None or attempt.stopping:
        return None
    open_rungs = weaker(find_ladder(planned.requests, world.free, world.gpu_products), failures_of(history))
    if not open_rungs:
        return None
    fits = [r.plan.label for r in carry(open_rungs, world.free, world.gpu_products) if _fits_now(r.verdict)]
    has_room = {r.plan.label for r in open_rungs if _fits_now(r.verdict)} & set(attempt.plans)
    return fits[0] if fits and not has_room else None


def _fits_now(verdict: Verdict) -> bool:
    return verdict is Verdict.FITS_NOW
