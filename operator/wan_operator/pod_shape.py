"""What the next attempt carries, of an inventory. The law is the planner's: `wan_core.plan.pods`."""

from __future__ import annotations

from collections.abc import Sequence

from wan_core.plan import pods
from wan_core.plan.inventory import Inventory
from wan_core.plan.places import find_places
from wan_core.plan.rungs import Rung


def carry(rungs: Sequence[Rung], inventory: Inventory, gpu_products: Sequence[str] = ()) -> tuple[Rung, ...]:
    """The rungs of the next attempt out of those that are open, in order. `rungs` is not empty."""
    return pods.carry(rungs, find_places(inventory, gpu_products))
