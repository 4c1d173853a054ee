"""Which rungs ride on one Job: those whose pods ask for the same. Pure.

Requests of a pod are fixed when it is made, so what one attempt carries must agree on GPUs and, roughly, on
host memory. The rest waits for later attempts.
"""

from __future__ import annotations

from collections.abc import Sequence

from wan_core.plan.ladder import Rung


def carry(rungs: Sequence[Rung]) -> tuple[Rung, ...]:
    """The rungs of the next attempt out of those that are open, in order."""
    raise NotImplementedError
