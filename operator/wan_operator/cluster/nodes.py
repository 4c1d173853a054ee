"""What the nodes of a cluster offer to runners: Node documents in, an Inventory out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wan_core.plan.inventory import Inventory
from wan_operator.cluster.pods import PodFacts
from wan_operator.cluster.settings import ClusterSettings, InventorySettings


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint that keeps pods away: NoSchedule or NoExecute."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One node. Without usable GPUs `gpus` is 0, and `problem` says why if there should be some.

    `gpus` counts what runners may ask for, `memory_mib` is of one card, `host_memory` allocatable bytes.
    """

    name: str
    ready: bool
    cordoned: bool
    taints: tuple[Taint, ...] = ()
    gpus: int = 0
    product: str = ""
    memory_mib: int = 0
    compute_capability: tuple[int, int] | None = None
    shared: bool = False
    host_memory: int = 0
    problem: str = ""


def read_node(document: Mapping[str, Any], settings: InventorySettings) -> NodeFacts | None:
    """The node as far as runners care; None for what is no node. Junk in labels is never an exception."""
    raise NotImplementedError


def build_inventory(
    nodes: Iterable[NodeFacts], pods: Iterable[PodFacts], settings: ClusterSettings
) -> Inventory:
    """What runners may use, reduced to distinct shapes; the order of nodes and pods does not matter.

    Without pods every node counts as empty.
    """
    raise NotImplementedError
