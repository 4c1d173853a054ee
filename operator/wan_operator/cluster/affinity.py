"""Which nodes an attempt may run on, as node affinity on the labels of GPU Feature Discovery. Pure.

The scheduler and the planner must not disagree: a node matches the required terms exactly if one of the
attempt's rungs fits the node's GPU when it is empty (`places.fits_empty`). A test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import product
from math import ceil
from typing import Any

from wan_core.catalog.gpus import find_gpu
from wan_core.plan.ladder import Rung
from wan_core.plan.places import BF16_CAPABILITY
from wan_core.task import Task
from wan_operator.cluster.settings import InventorySettings

SHARED_SUFFIX = "-SHARED"  # of a product's name where its GPUs are time-sliced
SHARING = ("time-slicing", "mps")
WEIGHT_MAX = 100  # of a preferred term

Expression = dict[str, Any]
Term = dict[str, Any]
Need = tuple[int, frozenset[str]]  # MiB of one GPU, and products that are excluded


def required_terms(task: Task, inventory: InventorySettings) -> list[Term]:
    """One term for each way in which a node can have room for a rung of `task`; a node must match one.

    A term that another one implies is left out.
    """
    needs = [need_of(rung, task) for rung in task.rungs]
    weakest = [n for i, n in enumerate(needs) if not any(_implied(n, i, o, j) for j, o in enumerate(needs))]
    sized = [_size_expressions(need, inventory) for need in weakest] if inventory.labels.memory_mib else []
    if unlabelled := _unlabelled_products(task, inventory):
        sized.append([*_absent(inventory.labels.memory_mib), *_in(inventory.labels.product, unlabelled)])
    shared = _unshared(inventory)
    common = [*_has_bf16(inventory), *_in(inventory.labels.product, _allowed_products(task, inventory))]
    return [{"matchExpressions": [*size, *common, *sharing]} for size, sharing in product(sized, shared)]


def preferred_terms(task: Task, inventory: InventorySettings) -> list[dict[str, Any]]:
    """Weights that make the scheduler take a node for the best rung: each is more than all later ones.

    That holds for seven levels; the last ones weigh the same. Plain OR-ed terms would spread evenly.
    """
    levels: list[Need] = []
    for need in (need_of(rung, task) for rung in task.rungs):
        if not any(better[0] <= need[0] and better[1] <= need[1] for better in levels):
            levels.append(need)
    if len(levels) < 2 or not inventory.labels.memory_mib:
        return []
    return [
        {
            "weight": max(WEIGHT_MAX >> rank, 1),
            "preference": {"matchExpressions": _size_expressions(need, inventory)},
        }
        for rank, need in enumerate(levels)
    ]


def need_of(rung: Rung, task: Task) -> Need:
    """What a rung asks of a node's labels. The label counts whole MiB."""
    excluded = (e.product for e in task.excluded if e.plan == rung.plan.label)
    return ceil(rung.memory.peak_gib * 1024), frozenset(p for p in excluded if p is not None)


def _implied(need: Need, index: int, other: Need, other_index: int) -> bool:
    """Whether each node that matches `need` matches `other` too; of two equal ones the first stays."""
    weaker = other[0] <= need[0] and other[1] <= need[1]
    return weaker and (other != need or other_index < index)


def _size_expressions(need: Need, inventory: InventorySettings) -> list[Expression]:
    mib, excluded = need
    labels = inventory.labels
    room = {"key": labels.memory_mib, "operator": "Gt", "values": [str(mib - 1)]}
    names = _spellings(sorted(excluded), inventory)
    if not names or not labels.product:
        return [room]
    return [room, {"key": labels.product, "operator": "NotIn", "values": names}]


def _unlabelled_products(task: Task, inventory: InventorySettings) -> list[str]:
    """Products that have room by the catalogue: for nodes whose memory no label tells."""
    if not inventory.labels.product:
        return []
    found: set[str] = set()
    for rung in task.rungs:
        mib, excluded = need_of(rung, task)
        cards = {p: find_gpu(p) for p in rung.products if p not in excluded}
        found |= {p for p, card in cards.items() if card is not None and card.memory_mib >= mib}
    return _spellings(sorted(found), inventory)


def _allowed_products(task: Task, inventory: InventorySettings) -> list[str]:
    """`gpuProducts` as labels spell them: as users do, and as the ladder found them here; empty for any."""
    if not task.gpu_products:
        return []
    asked = {"-".join(name.split()) for name in task.gpu_products}
    return _spellings(sorted(asked | {p for rung in task.rungs for p in rung.products}), inventory)


def _spellings(products: Sequence[str], inventory: InventorySettings) -> list[str]:
    """The label values of products: with the suffix of shared GPUs too, where those may be used."""
    suffixes = ["", SHARED_SUFFIX] if inventory.allow_shared_gpus else [""]
    return [name + suffix for name in products for suffix in suffixes]


def _has_bf16(inventory: InventorySettings) -> list[Expression]:
    """Not a card that is known to be older; a node without the label may have one that is not."""
    key = inventory.labels.compute_major
    older = [str(major) for major in range(1, BF16_CAPABILITY[0])]
    return [{"key": key, "operator": "NotIn", "values": older}] if key else []


def _unshared(inventory: InventorySettings) -> list[list[Expression]]:
    """The ways in which a node can say that its GPUs are not shared."""
    labels = inventory.labels
    if inventory.allow_shared_gpus:
        return [[]]
    strategy: list[Expression] = []
    if labels.sharing_strategy:
        strategy = [{"key": labels.sharing_strategy, "operator": "NotIn", "values": list(SHARING)}]
    if not labels.replicas:
        return [strategy]
    once = {"key": labels.replicas, "operator": "Lt", "values": ["2"]}
    return [[*strategy, *_absent(labels.replicas)], [*strategy, once]]


def _absent(key: str) -> list[Expression]:
    return [{"key": key, "operator": "DoesNotExist"}] if key else []


def _in(key: str, values: Sequence[str]) -> list[Expression]:
    return [{"key": key, "operator": "In", "values": list(values)}] if key and values else []


def term_matches(term: Mapping[str, Any], labels: Mapping[str, str], node: str) -> bool:
    """Whether a node selector term selects the node, as the scheduler does. An empty one selects nothing."""
    on_labels = term.get("matchExpressions") or ()
    on_fields = term.get("matchFields") or ()
    if not on_labels and not on_fields:
        return False
    fields = {"metadata.name": node}
    return all(_holds(e, labels) for e in on_labels) and all(_holds(e, fields) for e in on_fields)


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(expression.get("key", ""))
    values = expression.get("values") or []
    match expression.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            left, right = read_integer(value), read_integer(values[0] if len(values) == 1 else None)
            if left is None or right is None:
                return False
            return left > right if operator == "Gt" else left < right
    return False


def read_integer(text: object) -> int | None:
    """A label's value as the scheduler reads numbers; None for anything else."""
    if not isinstance(text, str) or not re.fullmatch(r"[+-]?[0-9]{1,18}", text, re.ASCII):
        return None
    return int(text)
