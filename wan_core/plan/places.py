"""Where a plan could run: the GPUs and CPUs of an inventory, by kind, and whether a plan fits there.

Thousands of nodes are of a few kinds. Places of one kind differ only in what is free, and there only those
count that no other one beats: so what fits is found without looking at each node again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from wan_core.catalog.gpus import find_gpu
from wan_core.plan.inventory import Inventory, Node
from wan_core.plan.memory import MemoryEstimate
from wan_core.plan.product_names import NAMES_MAX, product_key
from wan_core.plan.techniques import Capability, Plan, suits

CPU = "cpu"  # what stands for the product of a CPU

Device = Literal["cuda", "xpu", "cpu"]
Kind = tuple[str | None, float, Capability | None, float]  # product, GiB, capability, GiB of the host
Free = tuple[float, float, bool]  # GiB of the device and the host, and whether anybody looked


@dataclass(frozen=True)
class Place:
    """One device of one node, GiB empty and free now. Of a CPU, device memory is host memory.

    `looked`: whether anybody knows what is free; else the place counts as empty.
    """

    kind: Device
    node: str
    product: str
    total_gib: float
    free_gib: float
    host_total_gib: float
    host_free_gib: float
    capability: Capability | None = None
    looked: bool = True

    @property
    def words(self) -> str:
        return f"the CPU of {self.node}" if self.kind == CPU else self.product


def find_places(inventory: Inventory, gpu_products: Sequence[str] = ()) -> tuple[Place, ...]:
    """Of every kind the places that none of the same kind beats, by the name of their node.

    With `gpu_products` only GPUs of these names, and no CPU.
    """
    allowed = frozenset(product_key(p) for p in gpu_products)
    kinds: dict[Kind, dict[Free, str]] = {}
    for node in inventory.nodes:
        host, known = node.host_memory_gib, node.host_free_gib is not None
        host_free = host if node.host_free_gib is None else node.host_free_gib
        if not (allowed or node.gpu_only):
            _keep(kinds, (None, host, None, host), (host_free, host_free, known), node)
        for gpu in node.gpus:
            size, free = gpu.memory_gib, gpu.free_gib
            place = (size if free is None else free, host_free, free is not None)
            _keep(kinds, (gpu.product, size, gpu.compute_capability, host), place, node)
    wanted = (kind for kind in kinds if not allowed or product_key(kind[0] or "") in allowed)
    found = [_place(kind, free, node) for kind in wanted for free, node in _unbeaten(kinds[kind])]
    return tuple(sorted(found, key=lambda p: (p.node, p.product, -p.total_gib, -p.free_gib)))


def suited(plan: Plan, places: Iterable[Place]) -> list[Place]:
    """The places that have what `plan` needs besides memory."""
    return [p for p in places if p.kind == plan.device and not suits(plan, p.kind, p.capability, p.product)]


def fits_empty(memory: MemoryEstimate, place: Place) -> bool:
    """Whether it would fit if nothing else ran there."""
    return memory.peak_gib <= place.total_gib and memory.host_gib <= place.host_total_gib


def fits_now(memory: MemoryEstimate, place: Place) -> bool:
    """Whether it fits what is free."""
    free = memory.peak_gib <= place.free_gib and memory.host_gib <= place.host_free_gib
    return free and fits_empty(memory, place)


def _keep(kinds: dict[Kind, dict[Free, str]], kind: Kind, free: Free, node: Node) -> None:
    """Of alike places the first by name stays."""
    alike = kinds.get(kind)
    if alike is None:
        kinds[kind] = {free: node.name}
    elif free not in alike or node.name < alike[free]:
        alike[free] = node.name


def _unbeaten(alike: dict[Free, str]) -> list[tuple[Free, str]]:
    """Without those that have no more than another one, of device and of host memory."""
    found: list[tuple[Free, str]] = []
    for free in sorted(alike, reverse=True):
        if not found or free[1] > found[-1][0][1]:
            found.append((free, alike[free]))
    return found


def _place(kind: Kind, free: Free, node: str) -> Place:
    product, size, capability, host = kind
    device, known = ("cpu", None) if product is None else _known(product)
    return Place(
        kind=device,
        node=node,
        product=product if product is not None else CPU,
        total_gib=size,
        free_gib=free[0],
        host_total_gib=host,
        host_free_gib=free[1],
        capability=capability or known,
        looked=free[2],
    )


@lru_cache(maxsize=NAMES_MAX)
def _known(product: str) -> tuple[Device, Capability | None]:
    """What the catalogue says of a product. Torch calls AMD's GPUs cuda too, and Intel's xpu."""
    card = find_gpu(product)
    if card is None:
        return "cuda", None
    return "xpu" if card.vendor == "Intel" else "cuda", card.compute_capability
