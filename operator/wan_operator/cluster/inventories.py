"""What the nodes offer, as of now: once as if they were empty, once with what runs on them.

Computed when asked for and kept while nothing changed; what runs is counted again at most once a second,
since the scheduler decides anyway, but at once for a resource whose own pod has just ended. An inventory that
comes out equal is the same object.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from wan_core.plan.inventory import Inventory
from wan_operator.cluster.nodes import NodeFacts, build_inventory
from wan_operator.cluster.objects import Objects
from wan_operator.cluster.settings import ClusterSettings

OCCUPANCY_S = 1.0


class Inventories:
    """The two views. `nodes_changed` and `pods_changed` are told by the sinks."""

    def __init__(
        self, objects: Objects, settings: ClusterSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._objects = objects
        self._settings = settings
        self._clock = clock
        self._capacity: Inventory | None = None
        self._occupied: Inventory | None = None
        self._ready: dict[str, bool] | None = None
        self._nodes_stale = self._pods_stale = True
        self._counted = float("-inf")

    def nodes_changed(self) -> None:
        self._nodes_stale = self._pods_stale = True
        self._counted = float("-inf")  # at once
        self._ready = None

    def pods_changed(self) -> None:
        self._pods_stale = True

    def capacity(self) -> Inventory:
        """As if every node were empty: a resource's living attempt must not count against it."""
        if self._nodes_stale or self._capacity is None:
            self._nodes_stale = False
            self._capacity = _same(self._capacity, build_inventory(self._nodes(), (), self._settings))
        return self._capacity

    def occupied(self, *, at_once: bool = False) -> Inventory:
        """With what the pods take: as it was a second ago at the most, or as of now."""
        fresh = self._clock() - self._counted < OCCUPANCY_S and not at_once
        if self._occupied is None or (self._pods_stale and not fresh):
            self._pods_stale = False
            self._counted = self._clock()
            pods = list(self._objects.pods.values())
            self._occupied = _same(self._occupied, build_inventory(self._nodes(), pods, self._settings))
        return self._occupied

    def nodes_ready(self) -> dict[str, bool]:
        """Readiness by node name."""
        if self._ready is None:
            self._ready = {node.name: node.ready for node in self._nodes()}
        return self._ready

    def _nodes(self) -> list[NodeFacts]:
        return list(self._objects.nodes.values())


def _same(old: Inventory | None, new: Inventory) -> Inventory:
    return old if old == new and old is not None else new
