"""Which nodes an attempt may run on, as node affinity on the labels of GPU Feature Discovery. Pure.

The scheduler and the planner must not disagree: a node matches the required terms exactly if one of the
attempt's rungs fits the node's GPU when it is empty (`places.fits_empty`). A test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil
from typing import Any

from wan_core.catalog.gpus import find_gpu
from wan_core.plan.memory import MemoryEstimate
from wan_core.plan.rungs import Rung
from wan_core.plan.techniques import TECHNIQUES
from wan_core.task import Task
from wan_operator.cluster.settings import InventorySettings

SHARED_SUFFIX = "-SHARED"  # of a product's name where its GPUs are time-sliced
SHARING = ("time-slicing", "mps")
WEIGHT_MAX = 100  # of a preferred term

Expression = dict[str, Any]
Term = dict[str, Any]


@dataclass(frozen=True)
class Need:
    """What a rung asks of a node's labels: MiB of one GPU, of any product but those `excluded` or of one
    alone, and the major compute capabilities from `least` to `most`. Minor ones are left to the runner.
    """

    mib: int
    excluded: frozenset[str] = frozenset()
    only: str | None = None
    least: int = 1
    most: int | None = None

    def implies(self, other: Need) -> bool:
        """Whether each node that has this has `other` too."""
        newest = other.most is None or (self.most is not None and self.most <= other.most)
        if other.only is not None:
            products = self.only == other.only
        elif self.only is not None:
            products = self.only not in other.excluded
        else:
            products = other.excluded <= self.excluded
        return other.mib <= self.mib and other.least <= self.least and newest and products


def required_terms(task: Task, inventory: InventorySettings) -> list[Term]:
    """One term for each way in which a node can have room for a rung of `task`; a node must match one.

    A term that another one implies is left out.
    """
    needs = [need for rung in task.rungs for need in needs_of(rung, task)]
    weakest = [n for i, n in enumerate(needs) if not any(_implied(n, i, o, j) for j, o in enumerate(needs))]
    sized = [_expressions(need, inventory) for need in weakest] if inventory.labels.memory_mib else []
    unread = ((need, _unread(need, task, inventory)) for need in weakest)
    sized += [[*_size_expressions(need, inventory), *instead] for need, instead in unread if instead]
    sized += _unlabelled(task, inventory)
    shared = _unshared(inventory)
    common = _in(inventory.labels.product, _allowed_products(task, inventory))
    return [{"matchExpressions": [*size, *common, *sharing]} for size, sharing in product(sized, shared)]


def preferred_terms(task: Task, inventory: InventorySettings) -> list[dict[str, Any]]:
    """Weights that make the scheduler take a node for the best rung: each is more than all later ones.

    That holds for seven levels; the last ones weigh the same. Plain OR-ed terms would spread evenly.
    """
    levels: list[Need] = []
    for need in (need for rung in task.rungs for need in needs_of(rung, task)):
        if not any(need.implies(better) for better in levels):
            levels.append(need)
    if len(levels) < 2 or not inventory.labels.memory_mib:
        return []
    return [
        {
            "weight": max(WEIGHT_MAX >> rank, 1),
            "preference": {
                "matchExpressions": [*_size_expressions(need, inventory), *_older_only(need, inventory)]
            },
        }
        for rank, need in enumerate(levels)
    ]


def needs_of(rung: Rung, task: Task) -> tuple[Need, ...]:
    """What a rung asks for: on all products, and on each where it was measured. The label counts MiB."""
    excluded = frozenset(
        e.product for e in task.excluded if e.plan == rung.plan.label and e.product is not None
    )
    least, most = _majors(rung)
    measured = {m.product: m.memory for m in rung.measured if m.product not in excluded}
    alone = (Need(_mib(memory), only=name, least=least, most=most) for name, memory in measured.items())
    return (Need(_mib(rung.memory), excluded | set(measured), None, least, most), *alone)


def _mib(memory: MemoryEstimate) -> int:
    return ceil(memory.peak_gib * 1024)


def _majors(rung: Rung) -> tuple[int, int | None]:
    needs = [TECHNIQUES[t].needs for t in rung.plan.techniques]
    least = (n.min_capability[0] for n in needs if n.min_capability is not None)
    most = (n.max_capability[0] for n in needs if n.max_capability is not None)
    return max(least, default=1), min(most, default=None)


def _implied(need: Need, index: int, other: Need, other_index: int) -> bool:
    """Whether each node that matches `need` matches `other` too; of two equal ones the first stays."""
    return need.implies(other) and (other != need or other_index < index)


def _expressions(need: Need, inventory: InventorySettings) -> list[Expression]:
    return [
        *_size_expressions(need, inventory),
        *(_older_only(need, inventory) or _not_older(need, inventory)),
    ]


def _size_expressions(need: Need, inventory: InventorySettings) -> list[Expression]:
    labels = inventory.labels
    if not labels.memory_mib:
        return []
    room = {"key": labels.memory_mib, "operator": "Gt", "values": [str(need.mib - 1)]}
    if need.only is not None:
        return [room, *_in(labels.product, _spellings([need.only], inventory))]
    names = _spellings(sorted(need.excluded), inventory)
    if not names or not labels.product:
        return [room]
    return [room, {"key": labels.product, "operator": "NotIn", "values": names}]


def _not_older(need: Need, inventory: InventorySettings) -> list[Expression]:
    """Not a card that is known to be older; a node without the label may have one that is not."""
    key = inventory.labels.compute_major
    older = [str(major) for major in range(1, need.least)]
    return [{"key": key, "operator": "NotIn", "values": older}] if key and older else []


def _older_only(need: Need, inventory: InventorySettings) -> list[Expression]:
    """A card that is known to be old enough, where the plan is for such."""
    if need.most is None:
        return []
    return _in(inventory.labels.compute_major, [str(m) for m in range(need.least, need.most + 1)])


def _unread(need: Need, task: Task, inventory: InventorySettings) -> list[Expression]:
    """For a plan that is for older cards: nodes whose capability no label tells, by their product."""
    labels = inventory.labels
    if need.most is None or not (labels.memory_mib and labels.compute_major and labels.product):
        return []
    products = {p for rung in task.rungs if need in needs_of(rung, task) for p in rung.products}
    names = _spellings(sorted(products - need.excluded), inventory)
    return [*_absent(labels.compute_major), *_in(labels.product, names)] if names else []


def _unlabelled(task: Task, inventory: InventorySettings) -> list[list[Expression]]:
    """Nodes whose memory no label tells, by the products that have room by the catalogue."""
    labels = inventory.labels
    found: dict[tuple[int, int | None], set[str]] = {}
    for rung in task.rungs if labels.product else ():
        need = needs_of(rung, task)[0]
        excluded = need.excluded - {m.product for m in rung.measured}
        cards = {p: find_gpu(p) for p in rung.products if p not in excluded}
        room = {p: _mib(rung.need_on(p)) for p in cards}
        names = {p for p, card in cards.items() if card is not None and card.memory_mib >= room[p]}
        found.setdefault((need.least, need.most), set()).update(names)
    terms: list[list[Expression]] = []
    for (least, most), names in ((key, names) for key, names in found.items() if names):
        bare = [*_absent(labels.memory_mib), *_in(labels.product, _spellings(sorted(names), inventory))]
        need = Need(0, least=least, most=most)
        if most is not None and labels.compute_major:
            terms += [[*bare, *_older_only(need, inventory)], [*bare, *_absent(labels.compute_major)]]
        else:
            terms.append([*bare, *_not_older(need, inventory)])
    return terms


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
