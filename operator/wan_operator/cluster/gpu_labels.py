"""What a node's labels say about its GPUs: GPU Feature Discovery's, or what stands in for it. Pure.

Whole cards and MIG slices look alike: those of the strategy `single` have the labels of cards, those of the
strategy `mixed` their own (`gpu_resources`). Of shared GPUs all memory counts: what others take of it, the
runner alone can see. Cards of one node are taken to be alike, as feature discovery tells of one product.
Labels are anybody's: junk in them costs the node its GPUs, never an exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wan_core.catalog.gpu_card import GpuCard
from wan_core.catalog.gpus import find_gpu
from wan_core.plan.inventory import share_unified
from wan_operator.cluster.affinity import SHARED_SUFFIX, SHARING, read_integer
from wan_operator.cluster.gpu_resources import list_others
from wan_operator.cluster.quantity import read_quantity
from wan_operator.cluster.settings import InventorySettings, NodeLabels

Labels = Mapping[str, str]
INVALID_SUFFIX = "-MIG-INVALID"  # of a product's name where slices of the strategy `single` differ
UNNAMED = "GPU"  # the product of a card that no label names


@dataclass(frozen=True, slots=True)
class CardFacts:
    """One of a node's GPUs, which are all alike, and how many of them runners may ask for."""

    count: int
    product: str
    memory_mib: int
    compute_capability: tuple[int, int] | None
    unified: bool = False  # the memory is a part of the host's


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
    memory = _read_memory(labels, names, card)
    if memory is None:
        return f"GPUs of unknown memory, {_missing(labels, names, product)}"
    unified = card is not None and card.unified
    if unified:
        memory = int(share_unified(memory / 1024)[0] * 1024)
    known = product.removesuffix(SHARED_SUFFIX)
    return CardFacts(count, known, memory, _capability(labels, names, card), unified)


def list_unused(
    labels: Labels, allocatable: Mapping[str, Any], capacity: Mapping[str, Any], settings: InventorySettings
) -> tuple[str, ...]:
    """In words, GPUs that the node has beside those that it offers to runners."""
    resource, names = settings.gpu_resource, settings.labels
    others = [name for name in list_others(allocatable, resource) if _is_offered(allocatable[name])]
    found = [f"GPUs offered as {other} (inventory.gpuResource is {resource})" for other in others]
    here, whole = (read_quantity(of.get(resource)) or 0 for of in (allocatable, capacity))
    if whole > here:
        found.append(f"GPUs that the device plugin of {resource} calls unhealthy")
    product = _label(labels, names.product) or ""
    if product.endswith(INVALID_SUFFIX):
        found.append("GPUs that are cut (MIG) in a way that the device plugin does not offer")
    elif product and not others and resource not in capacity and resource not in allocatable:
        found.append(f"GPUs that no device plugin offers as {resource}")
    return tuple(found)


def _is_offered(count: object) -> bool:
    return (read_quantity(count) or 0) > 0


def _read_memory(labels: Labels, names: NodeLabels, card: GpuCard | None) -> int | None:
    """In MiB: the label's, and without one the catalogue's."""
    text = _label(labels, names.memory_mib)
    if text is None:
        return card.memory_mib if card is not None else None
    memory = read_integer(text)
    return memory if memory is not None and memory > 0 else None


def _missing(labels: Labels, names: NodeLabels, product: str) -> str:
    """What would tell the memory."""
    if not names.memory_mib:
        return f"and the catalogue does not know {product}"
    what = "the label" if _label(labels, names.memory_mib) is None else "a number in the label"
    return f"without {what} {names.memory_mib}"


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
