"""Where a plan could run: the GPUs and CPUs of an inventory, by kind, and whether a plan fits there.

Thousands of nodes are of a few kinds. Places of one kind differ only in their host and in what is free, and
only those count that no other one beats: so what fits is found without looking at each node again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from wan_core.catalog.gpu_card import Capability
from wan_core.catalog.gpus import find_gpu
from wan_core.plan.inventory import Inventory
from wan_core.plan.memory import MemoryEstimate
from wan_core.plan.product_names import NAMES_MAX, product_key
from wan_core.plan.techniques import Plan, suits

CPU = "cpu"  # stands where a GPU has its product

DeviceKind = Literal["cuda", "xpu", "cpu"]
Kind = tuple[str | None, float, Capability | None]  # product, GiB of a GPU, capability
Room = tuple[float, float, float, bool]  # GiB of the host, free on the device and the host; did anybody look

CPUS: Kind = (None, 0.0, None)  # all of one kind: only their hosts differ


@dataclass(frozen=True)
class Place:
    """One device of one node, GiB empty and free now. Of a CPU, device memory is host memory.

    `looked`: whether anybody knows what is free; else the place counts as empty.
    """

    kind: DeviceKind
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
        return f"the CPU of {self.node}" if self.kind == "cpu" else self.product


@dataclass(frozen=True)
class Ground:
    """An inventory as plans are held against it: the places that a request allows, and the others.

    `largest_host_gib` is of all nodes, 0 where there are none; `gpus_only`: whether GPUs are named.
    """

    places: tuple[Place, ...]
    barred: tuple[Place, ...]
    largest_host_gib: float
    gpus_only: bool


def survey(inventory: Inventory, gpu_products: Sequence[str] = ()) -> Ground:
    """What a request that names these products, if any, may take."""
    there = find_places(inventory)
    places = allow(there, gpu_products)
    allowed = set(places)
    host = max((node.host_memory_gib for node in inventory.nodes), default=0.0)
    return Ground(places, tuple(p for p in there if p not in allowed), host, bool(gpu_products))


def find_places(inventory: Inventory, gpu_products: Sequence[str] = ()) -> tuple[Place, ...]:
    """Of every kind the places that none of the same kind beats, by the name of their node.

    With `gpu_products` only GPUs of these names, and no CPU.
    """
    kinds: defaultdict[Kind, dict[Room, str]] = defaultdict(dict)
    for node in inventory.nodes:
        name, host, looked = node.name, node.host_memory_gib, node.host_free_gib is not None
        host_free = host if node.host_free_gib is None else node.host_free_gib
        if not node.gpu_only:
            _keep(kinds[CPUS], (host, host_free, host_free, looked), name)
        for gpu in node.gpus:
            size, free = gpu.memory_gib, gpu.free_gib
            room = (host, size if free is None else free, host_free, free is not None)
            _keep(kinds[gpu.product, size, gpu.compute_capability], room, name)
    found = [_place(kind, room, node) for kind, rooms in kinds.items() for room, node in _unbeaten(rooms)]
    places = sorted(found, key=lambda p: (p.node, p.product, -p.total_gib, -p.host_total_gib, -p.free_gib))
    return allow(places, gpu_products)


def allow(places: Iterable[Place], gpu_products: Sequence[str]) -> tuple[Place, ...]:
    """With `gpu_products` only GPUs of these names, and no CPU."""
    allowed = {product_key(p) for p in gpu_products}
    return tuple(p for p in places if not allowed or (p.kind != "cpu" and product_key(p.product) in allowed))


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


def _keep(alike: dict[Room, str], room: Room, node: str) -> None:
    """Of alike places the first by name stays."""
    if node < alike.setdefault(room, node):
        alike[room] = node


def _unbeaten(alike: dict[Room, str]) -> list[tuple[Room, str]]:
    """Without those that have no more of anything than another one."""
    found: list[tuple[Room, str]] = []
    for room in sorted(alike, reverse=True):  # the host of each is no larger than that of those before
        if not any(other[1] >= room[1] and other[2] >= room[2] for other, _ in found):
            found.append((room, alike[room]))
    return found


def _place(kind: Kind, room: Room, node: str) -> Place:
    product, size, capability = kind
    device, known = ("cpu", None) if product is None else _known(product)
    return Place(
        kind=device,
        node=node,
        product=product if product is not None else CPU,
        total_gib=size if product is not None else room[0],
        free_gib=room[1],
        host_total_gib=room[0],
        host_free_gib=room[2],
        capability=capability or known,
        looked=room[3],
    )


@lru_cache(maxsize=NAMES_MAX)
def _known(product: str) -> tuple[DeviceKind, Capability | None]:
    """What the catalogue says of a product. Torch calls AMD's GPUs cuda too, and Intel's xpu."""
    card = find_gpu(product)
    if card is None:
        return "cuda", None
    return "xpu" if card.vendor == "Intel" else "cuda", card.compute_capability
