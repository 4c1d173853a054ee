"""Nodes as the inventory has them: who may be used, what pods take, and the reduction to shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wan_operator.cluster.documents import (
    GPU_TAINT,
    H200,
    RTX4090,
    V100,
    labelled,
    node_document,
    pod_document,
    settings_of,
)
from tests.wan_operator.worlds import spec_of
from wan_core.api.status import Verdict
from wan_core.plan.inventory import Inventory
from wan_core.plan.ladder import build_ladder
from wan_core.plan.request import resolve_request
from wan_operator.cluster.nodes import NodeFacts, Taint, build_inventory, read_node, tolerates
from wan_operator.cluster.pods import PodFacts, read_pod

SETTINGS = settings_of()


def facts(document: dict[str, Any]) -> NodeFacts:
    node = read_node(document, SETTINGS.inventory)
    assert node is not None
    return node


@pytest.mark.parametrize("document", [{}, {"metadata": {}}, {"metadata": {"name": ""}}])
def test_what_has_no_name_is_no_node(document: dict[str, Any]) -> None:
    assert read_node(document, SETTINGS.inventory) is None


TAINT = Taint("pool", "video", "NoSchedule")


@pytest.mark.parametrize(
    ("toleration", "covered"),
    [
        pytest.param({"key": "pool", "value": "video", "effect": "NoSchedule"}, True, id="Equal by default"),
        pytest.param({"key": "pool", "operator": "Equal", "value": "video"}, True, id="any effect"),
        pytest.param({"key": "pool", "operator": "Exists"}, True, id="any value"),
        pytest.param({"operator": "Exists"}, True, id="anything"),
        pytest.param({"key": "pool", "value": "audio"}, False, id="another value"),
        pytest.param(
            {"key": "pool", "operator": "Exists", "effect": "NoExecute"}, False, id="another effect"
        ),
        pytest.param({"key": "pools", "operator": "Exists"}, False, id="another key"),
        pytest.param({"key": "pool"}, False, id="Equal to no value"),
        pytest.param({"operator": "Equal", "value": "video"}, False, id="Equal needs a key"),
        pytest.param({"key": "pool", "operator": "In", "value": "video"}, False, id="an unknown operator"),
    ],
)
def test_a_toleration_covers_a_taint(toleration: dict[str, str], covered: bool) -> None:
    assert tolerates([{"key": "other", "operator": "Exists"}, toleration], TAINT) is covered


def template(**spec: Any) -> Any:
    return settings_of(runner={"image": "i", "podTemplate": {"spec": spec}})


def required(*expressions: dict[str, Any]) -> dict[str, Any]:
    terms = {"nodeSelectorTerms": [{"matchExpressions": list(expressions)}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


TAINTS_OUT = "nodes with taints that runners do not tolerate"
POOL = {"key": "pool", "value": "video", "effect": "NoSchedule"}
SOFT = {"key": "pool", "effect": "PreferNoSchedule"}

USE = [
    pytest.param(node_document(), SETTINGS, "gpu+cpu", "", id="an ordinary node"),
    pytest.param(node_document(ready="False"), SETTINGS, "", "nodes that are not ready", id="not ready"),
    pytest.param(node_document(ready="Unknown"), SETTINGS, "", "nodes that are not ready", id="silent"),
    pytest.param(node_document(unschedulable=True), SETTINGS, "", "cordoned nodes", id="cordoned"),
    pytest.param(node_document(taints=[POOL]), SETTINGS, "", TAINTS_OUT, id="tainted"),
    pytest.param(node_document(taints=[SOFT]), SETTINGS, "gpu+cpu", "", id="a soft taint"),
    pytest.param(
        node_document(taints=[POOL]),
        template(tolerations=[{"key": "pool", "operator": "Exists"}]),
        "gpu+cpu",
        "",
        id="a taint that the pod template tolerates",
    ),
    pytest.param(node_document(taints=[GPU_TAINT]), SETTINGS, "gpu", "", id="the taint of GPU nodes"),
    pytest.param(
        node_document(labels={}, gpus=None, taints=[GPU_TAINT]),
        SETTINGS,
        "",
        TAINTS_OUT,
        id="that taint, but no GPU",
    ),
    pytest.param(
        node_document(),
        template(nodeSelector={"pool": "video"}),
        "",
        "nodes that runner.podTemplate does not select",
        id="outside the node selector",
    ),
    pytest.param(
        node_document(labels=H200 | {"pool": "video"}),
        template(nodeSelector={"pool": "video"}),
        "gpu+cpu",
        "",
        id="inside the node selector",
    ),
    pytest.param(
        node_document(),
        template(affinity=required({"key": "pool", "operator": "Exists"})),
        "",
        "nodes that runner.podTemplate does not select",
        id="outside the required affinity",
    ),
    pytest.param(node_document(cpu="1"), SETTINGS, "", "nodes with less than 2 CPUs", id="too few CPUs"),
    pytest.param(
        node_document(memory="900Mi"),
        SETTINGS,
        "",
        "nodes with less than 1 GiB of memory",
        id="too little memory",
    ),
    pytest.param(
        node_document(labels={}),
        SETTINGS,
        "cpu",
        "GPUs of unknown memory, without the label nvidia.com/gpu.memory",
        id="GPUs that nobody knows: the CPU remains",
    ),
]


@pytest.mark.parametrize(("document", "settings", "offered", "left_out"), USE)
def test_a_node_offers_what_runners_may_use(
    document: dict[str, Any], settings: Any, offered: str, left_out: str
) -> None:
    inventory = build_inventory([facts(document)], (), settings)
    assert inventory.left_out == ((left_out,) if left_out else ())
    kinds = {"gpu" for n in inventory.nodes if n.gpus} | {"cpu" for n in inventory.nodes if not n.gpu_only}
    assert kinds == set(offered.split("+")) - {""}


def pod(node: str = "gpu-1", **more: Any) -> PodFacts:
    return PodFacts("other", "p", "u", node=node, phase="Running", **more)


def test_the_overhead_of_a_runner_is_no_room_for_plans() -> None:
    (node,) = build_inventory([facts(node_document(memory="65Gi"))], (), SETTINGS).nodes
    assert (node.host_memory_gib, node.host_free_gib) == (64, 64)


def test_pods_take_room_until_they_end() -> None:
    nodes = [facts(node_document(memory="65Gi", gpus="1", labels=labelled(count="1")))]
    taking = pod(gpus=1, memory=32 << 30, cpu=1000)
    (node,) = build_inventory(nodes, [taking], SETTINGS).nodes
    assert (node.gpus[0].free_gib, node.host_free_gib) == (0.0, 32)
    (node,) = build_inventory(nodes, [replace(taking, phase="Succeeded")], SETTINGS).nodes
    assert (node.gpus[0].free_gib, node.host_free_gib) == (143771 / 1024, 64)
    (node,) = build_inventory(nodes, [replace(taking, gpus=0, cpu=63_000)], SETTINGS).nodes
    assert (node.gpus[0].free_gib, node.host_free_gib) == (143771 / 1024, 0)


def test_a_thousand_equal_nodes_make_one_entry() -> None:
    nodes = [facts(node_document(f"gpu-{n:04}")) for n in range(1000)]
    (node,) = build_inventory(nodes, (), SETTINGS).nodes
    assert (node.name, len(node.gpus)) == ("a node like gpu-0000", 1)


def test_churn_among_equal_nodes_does_not_change_the_inventory() -> None:
    nodes = [facts(node_document(f"gpu-{n}")) for n in range(9)]
    busy = [pod("gpu-1", gpus=8), pod("gpu-2", memory=900 << 30)]
    one = build_inventory(nodes, busy, SETTINGS)
    other = build_inventory(nodes, [*busy, pod("gpu-3", gpus=2), pod("gpu-4", cpu=64_000)], SETTINGS)
    assert one == other


def test_what_is_free_on_different_nodes_is_not_added_up() -> None:
    nodes = [facts(node_document(f"gpu-{n}", memory="65Gi")) for n in (1, 2)]
    taken = [pod("gpu-1", gpus=8), pod("gpu-2", memory=48 << 30)]
    found = build_inventory(nodes, taken, SETTINGS).nodes
    assert {(n.gpus[0].free_gib == 0, n.host_free_gib) for n in found} == {(True, 64.0), (False, 16.0)}


documents = st.builds(
    node_document,
    name=st.sampled_from(["a", "b", "c", "d", "e"]),
    labels=st.sampled_from([H200, RTX4090, V100, {}]),
    gpus=st.sampled_from([None, "1", "8"]),
    memory=st.sampled_from(["15Gi", "33Gi", "257Gi"]),
    ready=st.sampled_from(["True", "True", "False"]),
    taints=st.sampled_from([[], [], [GPU_TAINT], [POOL]]),
)
clusters = st.lists(documents.map(facts), max_size=6, unique_by=lambda node: node.name)
pods = st.lists(
    st.builds(
        pod,
        st.sampled_from(["a", "b", "c"]),
        gpus=st.integers(0, 2),
        memory=st.integers(0, 40).map(lambda gib: gib << 30),
        cpu=st.sampled_from([100, 60_000]),
    ),
    max_size=5,
)


@given(clusters, pods, st.randoms())
def test_the_order_of_nodes_and_pods_does_not_matter(
    nodes: list[NodeFacts], taken: list[PodFacts], random: Any
) -> None:
    mixed, others = list(nodes), list(taken)
    random.shuffle(mixed)
    random.shuffle(others)
    assert build_inventory(nodes, taken, SETTINGS) == build_inventory(mixed, others, SETTINGS)


@given(clusters, pods)
def test_equal_nodes_collapse(nodes: list[NodeFacts], taken: list[PodFacts]) -> None:
    twins = [replace(node, name=f"{node.name}-twin") for node in nodes]
    one, two = (build_inventory(n, taken, SETTINGS) for n in (nodes, [*nodes, *twins]))
    assert len(two.nodes) <= 2 * len(one.nodes)
    assert shapes(two) >= shapes(one)
    assert shapes(build_inventory([*nodes, *twins], (), SETTINGS)) == shapes(
        build_inventory(nodes, (), SETTINGS)
    )


def shapes(inventory: Inventory) -> set[Any]:
    return {(n.gpus and n.gpus[0].product, n.host_memory_gib, n.gpu_only) for n in inventory.nodes}


REQUEST = resolve_request(spec_of(), "u")


def fitting(nodes: Sequence[NodeFacts], taken: Sequence[PodFacts]) -> tuple[set[str], set[Verdict]]:
    """Where a plan fits, and how. Which of many plans are told is the ladder's choice: it tells twelve."""
    ladder = build_ladder([REQUEST], build_inventory(nodes, taken, SETTINGS))
    products = {product for rung in ladder.runnable for product in rung.products or ("the CPU",)}
    return products, {rung.verdict for rung in ladder.runnable}


@settings(max_examples=30)
@given(clusters, documents.map(facts), pods)
def test_a_node_added_never_removes_a_fit(
    nodes: list[NodeFacts], new: NodeFacts, taken: list[PodFacts]
) -> None:
    (there, verdicts), (after, later) = (
        fitting(known, taken) for known in (nodes, [*nodes, replace(new, name="z")])
    )
    assert there <= after
    assert Verdict.FITS_NOW in later or Verdict.FITS_NOW not in verdicts


def test_a_pods_requests_are_those_of_the_scheduler() -> None:
    document = pod_document()
    document["spec"] |= {
        "overhead": {"memory": "64Mi"},
        "containers": [
            {"resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"nvidia.com/gpu": "1"}}},
            {"resources": {"requests": {"cpu": "1", "memory": "1Gi"}}},
        ],
        "initContainers": [
            {"resources": {"requests": {"cpu": "4"}}},
            {"restartPolicy": "Always", "resources": {"requests": {"memory": "1Gi"}}},
        ],
    }
    read = read_pod(document)
    assert (read.gpus, read.memory, read.cpu) == (1, (3 << 30) + (64 << 20), 4000)
