"""What a node's labels say about its GPUs: GPU Feature Discovery's, or what stands in for it. Pure.

Whole cards and MIG slices of the strategy `single` look alike; slices of the strategy `mixed` are another
resource and are not offered. Labels are anybody's: junk in them costs the node its GPUs, never an exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wan_core.catalog.gpus import GpuCard, find_gpu
from wan_operator.cluster.affinity import SHARED_SUFFIX, SHARING, read_integer
from wan_operator.cluster.settings import InventorySettings, NodeLabels

Labels = Mapping[str, str]
UNNAMED = "GPU"  # the product of a card that no label names


@dataclass(frozen=True, slots=True)
class CardFacts:
    """One of a node's GPUs, which are all alike, and how many of them runners may ask for."""

    count: int
    product: str
    memory_mib: int
    compute_capability: tuple[int, int] | None


def read_cards(labels: Labels, allocatable: int, settings: InventorySettings) -> CardFacts | str | None:
    """A node's GPUs; in words why they cannot be used; None where there are none.

    `allocatable` is the device plugin's count: labels may say that there are fewer.
    """
    names = settings.labels
    count = min(allocatable, _labelled_count(labels, names, allocatable))
    if count <= 0:
        return None
    if _is_shared(labels, names) and not settings.allow_shared_gpus:
        return "shared GPUs (inventory.allowSharedGpus is false)"
    product = _label(labels, names.product) or UNNAMED
    card = find_gpu(product)
    text = _label(labels, names.memory_mib)
    memory = read_integer(text) if text is not None else card.memory_mib if card is not None else None
    if memory is None or memory <= 0:
        what = (
            f"the label {names.memory_mib}" if text is None else f"a number in the label {names.memory_mib}"
        )
        return f"GPUs of unknown memory, without {what}"
    return CardFacts(count, product.removesuffix(SHARED_SUFFIX), memory, _capability(labels, names, card))


def _capability(labels: Labels, names: NodeLabels, card: GpuCard | None) -> tuple[int, int] | None:
    major, minor = (read_integer(_label(labels, n)) for n in (names.compute_major, names.compute_minor))
    if major is not None:
        return major, minor or 0
    return card.compute_capability if card is not None else None


def _labelled_count(labels: Labels, names: NodeLabels, otherwise: int) -> int:
    """GPUs by the labels: cards times replicas."""
    count = read_integer(_label(labels, names.count))
    replicas = read_integer(_label(labels, names.replicas))
    return count * max(replicas or 1, 1) if count is not None else otherwise


def _is_shared(labels: Labels, names: NodeLabels) -> bool:
    """By any of three signs. A number of replicas that is no number counts as several."""
    text = _label(labels, names.replicas)
    replicas = read_integer(text)
    several = text is not None and (replicas is None or replicas >= 2)
    suffixed = (_label(labels, names.product) or "").endswith(SHARED_SUFFIX)
    return several or suffixed or _label(labels, names.sharing_strategy) in SHARING


def _label(labels: Labels, name: str) -> str | None:
    """A label's value; None where the administrator has no such label."""
    return labels.get(name) if name else None
