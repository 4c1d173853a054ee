"""What the nodes of a cluster offer to runners: Node documents in, an Inventory out. Pure.

The inventory is reduced to distinct shapes, and what is free is told coarsely: a thousand equal nodes make
one entry, and a pod that comes or goes seldom changes anything, so that ladders can be kept. Not read:
topology, huge pages, pod affinity, ephemeral storage; there the scheduler alone has the word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import floor
from typing import Any

from wan_core.plan.inventory import Gpu, Inventory, Node, share_unified
from wan_operator.cluster.affinity import term_matches
from wan_operator.cluster.gpu_labels import CardFacts, list_unused, read_cards
from wan_operator.cluster.gpu_resources import taint_key
from wan_operator.cluster.pods import PodFacts
from wan_operator.cluster.quantity import read_quantity
from wan_operator.cluster.settings import ClusterSettings, InventorySettings

GIB = 1 << 30
FREE_LEVELS = 16  # free host memory is told in sixteenths of the whole
KEEPING_AWAY = ("NoSchedule", "NoExecute")
NOTHING = {"gpus": 0, "memory": 0, "cpu": 0}
TAINTED = "nodes with taints that runners do not tolerate"


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint that keeps pods away."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One node. `cards` are its GPUs, in words why they cannot be used, or None; `unused` tells of others.

    Host memory is in bytes and CPU in millicores, both allocatable.
    """

    name: str
    ready: bool
    cordoned: bool = False
    taints: tuple[Taint, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    cards: CardFacts | str | None = None
    unused: tuple[str, ...] = ()
    memory: int = 0
    cpu: int = 0


@dataclass(frozen=True, slots=True)
class Rules:
    """Where runners may go by the settings, read once: tolerations of a pod without a GPU and of one with."""

    tolerations: Sequence[Mapping[str, Any]]
    gpu_tolerations: Sequence[Mapping[str, Any]]
    selector: Mapping[str, str]
    terms: Sequence[Mapping[str, Any]]
    cpu: int
    cpu_words: str
    overhead_gib: float


@dataclass(frozen=True, slots=True)
class Offer:
    """What one node offers: `total` does not change with the pods, `free` does. GiB; `total` sorts.

    `free` is whether a GPU is free, and host memory.
    """

    name: str
    total: tuple[float, bool, CardFacts | None]
    free: tuple[bool, float]


def read_node(document: Mapping[str, Any], settings: InventorySettings) -> NodeFacts | None:
    """The node as far as runners care; None for what has no name."""
    metadata, spec = document.get("metadata") or {}, document.get("spec") or {}
    status = document.get("status") or {}
    if not metadata.get("name"):
        return None
    allocatable = status.get("allocatable") or {}
    labels = metadata.get("labels") or {}
    conditions = status.get("conditions") or ()
    gpus = read_quantity(allocatable.get(settings.gpu_resource)) or 0
    cards = read_cards(labels, gpus, settings)
    return NodeFacts(
        name=metadata["name"],
        ready=any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions),
        cordoned=bool(spec.get("unschedulable")),
        taints=tuple(_read_taint(t) for t in spec.get("taints") or () if t.get("effect") in KEEPING_AWAY),
        labels=labels,
        cards=cards,
        unused=list_unused(labels, allocatable, status.get("capacity") or {}, settings),
        memory=_read_memory(allocatable, cards),
        cpu=max(read_quantity(allocatable.get("cpu"), 1000) or 0, 0),
    )


def build_inventory(
    nodes: Iterable[NodeFacts], pods: Iterable[PodFacts], settings: ClusterSettings
) -> Inventory:
    """What runners may use, whatever the order of nodes and pods. Without pods nodes count as empty."""
    used, rules = _usage(pods), _read_rules(settings)
    offers: list[Offer] = []
    left_out: set[str] = set()
    for node in nodes:
        offer, why = _offer(node, used.get(node.name, NOTHING), rules)
        if offer is not None:
            offers.append(offer)
        left_out.update(why)
    return Inventory(nodes=_reduce(offers), left_out=tuple(sorted(left_out)))


def tolerates(tolerations: Sequence[Mapping[str, Any]], taint: Taint) -> bool:
    """Whether one of the tolerations, as they stand in a pod, covers the taint."""
    return any(_covers(toleration, taint) for toleration in tolerations)


def gpu_toleration(settings: InventorySettings) -> dict[str, str]:
    """What our GPU pods tolerate: the taint that keeps others off GPU nodes."""
    return {"key": taint_key(settings.gpu_resource), "operator": "Exists", "effect": "NoSchedule"}


def _read_memory(allocatable: Mapping[str, Any], cards: CardFacts | str | None) -> int:
    """Of the host, in bytes: its part, where the GPUs live in the same memory."""
    memory = max(read_quantity(allocatable.get("memory")) or 0, 0)
    if isinstance(cards, CardFacts) and cards.unified:
        return int(share_unified(memory / GIB)[1] * GIB)
    return memory


def _read_taint(taint: Mapping[str, Any]) -> Taint:
    return Taint(taint.get("key", ""), taint.get("value", ""), taint["effect"])


def _covers(toleration: Mapping[str, Any], taint: Taint) -> bool:
    if toleration.get("effect") not in (None, "", taint.effect):
        return False
    key, operator = toleration.get("key") or "", toleration.get("operator") or "Equal"
    if operator == "Exists":
        return key in ("", taint.key)
    return operator == "Equal" and key == taint.key and (toleration.get("value") or "") == taint.value


def _usage(pods: Iterable[PodFacts]) -> dict[str, Counter[str]]:
    """What the pods of each node have asked for. One that has ended takes nothing."""
    used: dict[str, Counter[str]] = {}
    for pod in pods:
        if pod.node is not None and not pod.ended:
            taken = used.setdefault(pod.node, Counter())
            taken.update({"gpus": pod.gpus, "memory": pod.memory, "cpu": pod.cpu})
    return used


def _read_rules(settings: ClusterSettings) -> Rules:
    template = settings.runner.pod_template.get("spec") or {}
    ours = tuple(template.get("tolerations") or ())
    return Rules(
        tolerations=ours,
        gpu_tolerations=(*ours, gpu_toleration(settings.inventory)),
        selector=template.get("nodeSelector") or {},
        terms=required_by(template),
        cpu=read_quantity(settings.runner.cpu, 1000) or 0,
        cpu_words=settings.runner.cpu,
        overhead_gib=settings.runner.host_overhead_gib,
    )


def _offer(node: NodeFacts, used: Mapping[str, int], rules: Rules) -> tuple[Offer | None, tuple[str, ...]]:
    """What the node offers, if anything; and in words what it does not, if something is missing."""
    total = _coarse_total(node.memory / GIB - rules.overhead_gib)
    if why := _why_not(node, total, rules):
        return None, (why,)
    cards = node.cards if isinstance(node.cards, CardFacts) else None
    gpu_only = not all(tolerates(rules.tolerations, taint) for taint in node.taints)
    problems = (*((node.cards,) if isinstance(node.cards, str) else ()), *node.unused)
    if gpu_only and cards is None:
        return None, problems or (TAINTED,)
    free = 0.0
    if node.cpu - used["cpu"] >= rules.cpu:
        free = (node.memory - used["memory"]) / GIB - rules.overhead_gib
    gpu_free = cards is not None and used["gpus"] < cards.count
    return Offer(node.name, (total, gpu_only, cards), (gpu_free, _coarse_free(free, total))), problems


def _why_not(node: NodeFacts, total: float, rules: Rules) -> str:
    """Why no runner may go there at all; empty if one may."""
    if not node.ready:
        return "nodes that are not ready"
    if node.cordoned:
        return "cordoned nodes"
    if not all(tolerates(rules.gpu_tolerations, taint) for taint in node.taints):
        return TAINTED
    if not _is_selected(node, rules):
        return "nodes that runner.podTemplate does not select"
    if node.cpu < rules.cpu:
        return f"nodes with less than {rules.cpu_words} CPUs"
    if total <= 0:
        return f"nodes with less than {rules.overhead_gib:g} GiB of memory"
    return ""


def _is_selected(node: NodeFacts, rules: Rules) -> bool:
    """By the nodeSelector and the required node affinity of the administrator's pod template."""
    if any(node.labels.get(key) != value for key, value in rules.selector.items()):
        return False
    return not rules.terms or any(term_matches(term, node.labels, node.name) for term in rules.terms)


def required_by(template: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The required node affinity terms of a pod spec."""
    affinity = (template.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms: Sequence[Mapping[str, Any]] = required.get("nodeSelectorTerms") or ()
    return terms


def _coarse_total(gib: float) -> float:
    """Rounded down: equal machines differ by some MiB."""
    return floor(gib) if gib >= FREE_LEVELS else floor(gib * 4) / 4


def _coarse_free(gib: float, total: float) -> float:
    """Rounded down to a sixteenth of the whole."""
    step = total / FREE_LEVELS
    return min(max(floor(gib / step), 0), FREE_LEVELS) * step


def _reduce(offers: Sequence[Offer]) -> tuple[Node, ...]:
    """One node for each shape and each best of what is free there, by the name of the shape's first node."""
    one = {cards: replace(cards, count=1) for _, _, cards in {o.total for o in offers} if cards is not None}
    shapes: dict[tuple[float, bool, CardFacts | None], list[Offer]] = {}
    for offer in sorted(offers, key=lambda o: o.name):
        total, gpu_only, cards = offer.total
        shapes.setdefault((total, gpu_only, None if cards is None else one[cards]), []).append(offer)
    found = [_build_node(shape, alike, free) for shape, alike in shapes.items() for free in _best_free(alike)]
    return tuple(sorted(found, key=lambda n: (n.name, n.host_free_gib or 0.0)))


def _best_free(alike: Sequence[Offer]) -> list[tuple[bool, float]]:
    """What is free on the nodes of a shape, without what another one beats."""
    frees = {offer.free for offer in alike}
    return [f for f in frees if not any(o != f and o[0] >= f[0] and o[1] >= f[1] for o in frees)]


def _build_node(
    shape: tuple[float, bool, CardFacts | None], alike: Sequence[Offer], free: tuple[bool, float]
) -> Node:
    total, gpu_only, card = shape
    name = alike[0].name
    gpus: tuple[Gpu, ...] = ()
    if card is not None:
        gib = card.memory_mib / 1024
        gpus = (
            Gpu(
                product=card.product,
                memory_gib=gib,
                free_gib=gib if free[0] else 0.0,
                compute_capability=card.compute_capability,
            ),
        )
    return Node(
        name=name if len(alike) == 1 else f"a node like {name}",
        gpus=gpus,
        host_memory_gib=total,
        host_free_gib=free[1],
        gpu_only=gpu_only,
    )
