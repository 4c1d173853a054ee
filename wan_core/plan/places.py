"""Where a plan could run: every GPU and every CPU of the inventory, and whether a plan fits there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from wan_core.catalog.gpus import find_gpu
from wan_core.plan.inventory import Gpu, Inventory, Node
from wan_core.plan.memory import MemoryEstimate

# bf16 in hardware begins with Ampere (NVIDIA CUDA programming guide, table of compute capabilities).
BF16_CAPABILITY = (8, 0)


@dataclass(frozen=True)
class Place:
    """One device of one node, GiB empty and free now. Of a CPU, device memory is host memory."""

    kind: Literal["cuda", "cpu"]
    node: str
    product: str
    total_gib: float
    free_gib: float
    host_total_gib: float
    host_free_gib: float
    capability: tuple[int, int] | None = None

    @property
    def has_bf16(self) -> bool:
        return self.capability is None or self.capability >= BF16_CAPABILITY

    @property
    def words(self) -> str:
        return f"the CPU of {self.node}" if self.kind == "cpu" else self.product


def normalize_product(product: str) -> str:
    """A product's name as the node label has it: NVML and torch write spaces where the label has dashes."""
    return "-".join(product.split()).lower()


def find_places(inventory: Inventory, gpu_products: Sequence[str] = ()) -> tuple[Place, ...]:
    """Every place, once where several are alike; with `gpu_products` only GPUs of these names, and no CPU."""
    allowed = {normalize_product(p) for p in gpu_products}
    gpus = [(node, gpu) for node in inventory.nodes for gpu in node.gpus]
    found = [_gpu_place(n, g) for n, g in gpus if not allowed or normalize_product(g.product) in allowed]
    places = (
        found if allowed else [*found, *(_cpu_place(node) for node in inventory.nodes if not node.gpu_only)]
    )
    alike: dict[Place, Place] = {}
    for place in sorted(places, key=lambda p: p.node):
        alike.setdefault(replace(place, node=""), place)
    return tuple(alike.values())


def fits_empty(memory: MemoryEstimate, place: Place) -> bool:
    """Whether it would fit if nothing else ran there."""
    return memory.peak_gib <= place.total_gib and memory.host_gib <= place.host_total_gib


def fits_now(memory: MemoryEstimate, place: Place) -> bool:
    """Whether it fits what is free."""
    free = memory.peak_gib <= place.free_gib and memory.host_gib <= place.host_free_gib
    return free and fits_empty(memory, place)


@cache
def _capability(product: str) -> tuple[int, int] | None:
    card = find_gpu(product)
    return card.compute_capability if card else None


def _gpu_place(node: Node, gpu: Gpu) -> Place:
    host_free = node.host_memory_gib if node.host_free_gib is None else node.host_free_gib
    return Place(
        kind="cuda",
        node=node.name,
        product=gpu.product,
        total_gib=gpu.memory_gib,
        free_gib=gpu.memory_gib if gpu.free_gib is None else gpu.free_gib,
        host_total_gib=node.host_memory_gib,
        host_free_gib=host_free,
        capability=gpu.compute_capability or _capability(gpu.product),
    )


def _cpu_place(node: Node) -> Place:
    free = node.host_memory_gib if node.host_free_gib is None else node.host_free_gib
    total = node.host_memory_gib
    return Place("cpu", node.name, "cpu", total, free, total, free)
