"""A node's GPUs by its labels, in every form that feature discovery and device plugins give them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_operator.cluster.documents import (
    GPU_TAINT,
    H200,
    labelled,
    node_document,
    settings_of,
    without,
)
from tests.wan_operator.cluster.jobs import rungs_on, task_of
from wan_operator.cluster.affinity import required_terms, term_matches
from wan_operator.cluster.gpu_labels import CardFacts
from wan_operator.cluster.nodes import NodeFacts, build_inventory, read_node

SETTINGS = settings_of()
SHARED = settings_of(inventory={"allowSharedGpus": True})
CARD = CardFacts(8, "NVIDIA-H200", 143771, (9, 0))


def facts(document: dict[str, Any]) -> NodeFacts:
    node = read_node(document, SETTINGS.inventory)
    assert node is not None
    return node


MIG = labelled(product="NVIDIA-H200-MIG-1g.18gb", memory="16384", count="56")

CARDS = [
    pytest.param(node_document(), CARD, id="whole cards"),
    pytest.param(
        node_document(gpus="7"), replace(CARD, count=7), id="one card is broken: the device plugin knows"
    ),
    pytest.param(node_document(gpus="9"), CARD, id="never more than the labels say"),
    pytest.param(node_document(gpus=None), None, id="labels without a device plugin"),
    pytest.param(node_document(gpus="0"), None, id="no card is left"),
    pytest.param(node_document(gpus="a lot"), None, id="an allocatable that is no number"),
    pytest.param(node_document(labels={}, gpus=None), None, id="no GPUs at all"),
    pytest.param(
        node_document(labels=MIG, gpus="56"),
        CardFacts(56, "NVIDIA-H200-MIG-1g.18gb", 16384, (9, 0)),
        id="MIG slices of the strategy single",
    ),
    pytest.param(
        node_document(labels=H200 | {"nvidia.com/mig-1g.18gb.memory": "16384"}, gpus=None),
        None,
        id="MIG slices of the strategy mixed are another resource",
    ),
    pytest.param(
        node_document(labels=without(H200, "memory")), CARD, id="without a memory label the catalogue knows"
    ),
    pytest.param(
        node_document(labels=without(H200, "memory", "product")),
        "GPUs of unknown memory, without the label nvidia.com/gpu.memory",
        id="without memory and product nobody knows",
    ),
    pytest.param(
        node_document(labels={}),
        "GPUs of unknown memory, without the label nvidia.com/gpu.memory",
        id="without any label nobody knows",
    ),
    pytest.param(
        node_document(labels=labelled(memory="plenty")),
        "GPUs of unknown memory, without a number in the label nvidia.com/gpu.memory",
        id="memory that is no number",
    ),
    pytest.param(
        node_document(labels=labelled(memory="0")),
        "GPUs of unknown memory, without a number in the label nvidia.com/gpu.memory",
        id="memory of nothing",
    ),
    pytest.param(node_document(labels=labelled(count="eight")), CARD, id="a count that is no number"),
    pytest.param(
        node_document(labels=without(H200, "product")),
        replace(CARD, product="GPU"),
        id="cards without a name",
    ),
    pytest.param(
        node_document(labels=without(H200, "compute.major", "compute.minor")),
        CARD,
        id="without a capability the catalogue knows",
    ),
    pytest.param(
        node_document(labels=labelled(compute_major="nine")), CARD, id="a capability that is no number"
    ),
    *[
        pytest.param(
            node_document(labels=labels, gpus="32"), "shared GPUs (inventory.allowSharedGpus is false)", id=id
        )
        for id, labels in {
            "time-slicing": labelled(replicas="4") | {"nvidia.com/gpu.sharing-strategy": "time-slicing"},
            "MPS": labelled(replicas="4") | {"nvidia.com/gpu.sharing-strategy": "mps"},
            "replicas of an older feature discovery": without(labelled(replicas="4"), "sharing-strategy"),
            "the suffix of a time-sliced product": labelled(product="NVIDIA-H200-SHARED"),
            "replicas that are no number": labelled(replicas="some"),
        }.items()
    ],
]


@pytest.mark.parametrize(("document", "cards"), CARDS)
def test_gpus_are_read_off_labels_and_allocatable(document: dict[str, Any], cards: object) -> None:
    assert facts(document).cards == cards


def test_shared_gpus_are_used_where_the_administrator_allows_it() -> None:
    labels = labelled(product="NVIDIA-H200-SHARED", replicas="4")
    node = read_node(node_document(labels=labels, gpus="32"), SHARED.inventory)
    assert node is not None
    assert node.cards == replace(CARD, count=32)


MIXED = "nvidia.com/mig-3g.71gb"
MIXED_LABELS = H200 | {
    f"{MIXED}.product": "NVIDIA-H200-MIG-3g.71gb",
    f"{MIXED}.memory": "71424",
    f"{MIXED}.count": "2",
    f"{MIXED}.replicas": "1",
}
MI300X = {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM", "amd.com/gpu.vram": "192G"}
SPARK = {
    "nvidia.com/gpu.product": "NVIDIA-GB10",
    "nvidia.com/gpu.count": "1",
    "nvidia.com/gpu.compute.major": "12",
    "nvidia.com/gpu.compute.minor": "1",
}


def offering(labels: dict[str, str], allocatable: dict[str, str], capacity: Any = None) -> dict[str, Any]:
    document = node_document(labels=labels, gpus=None)
    document["status"]["allocatable"] |= allocatable
    document["status"]["capacity"] = {**allocatable, **(capacity or {})}
    return document


RESOURCES = [
    pytest.param(
        MIXED,
        offering(MIXED_LABELS, {MIXED: "2"}),
        CardFacts(2, "NVIDIA-H200-MIG-3g.71gb", 71424, (9, 0)),
        id="slices of the strategy mixed",
    ),
    pytest.param(
        MIXED,
        offering(without(MIXED_LABELS, "memory") | {f"{MIXED}.memory": ""}, {MIXED: "2"}),
        "GPUs of unknown memory, without a number in the label nvidia.com/mig-3g.71gb.memory",
        id="their memory is not that of the card",
    ),
    pytest.param(
        MIXED,
        offering(H200 | {f"{MIXED}.product": "NVIDIA-H200-MIG-3g.71gb"}, {MIXED: "2"}),
        CardFacts(2, "NVIDIA-H200-MIG-3g.71gb", 68291, (9, 0)),
        id="their memory as the catalogue knows it",
    ),
    pytest.param(
        "amd.com/gpu",
        offering(MI300X, {"amd.com/gpu": "8"}),
        CardFacts(8, "AMD_Instinct_MI300X_OAM", 196592, None),
        id="AMD's, whose memory the catalogue knows",
    ),
    pytest.param(
        "amd.com/gpu",
        offering({"amd.com/gpu.product-name": "AMD_Radeon"}, {"amd.com/gpu": "8"}),
        "GPUs of unknown memory, and the catalogue does not know AMD_Radeon",
        id="AMD's that the catalogue does not know",
    ),
    pytest.param(
        "nvidia.com/gpu.shared",
        offering(labelled(replicas="4"), {"nvidia.com/gpu.shared": "32"}),
        "shared GPUs (inventory.allowSharedGpus is false)",
        id="shared ones under their own name",
    ),
]


@pytest.mark.parametrize(("resource", "document", "cards"), RESOURCES)
def test_the_labels_follow_the_resource(resource: str, document: dict[str, Any], cards: object) -> None:
    node = read_node(document, settings_of(inventory={"gpuResource": resource}).inventory)
    assert node is not None
    assert node.cards == cards


def test_labels_that_the_administrator_names_stay() -> None:
    inventory = {"gpuResource": MIXED, "labels": {"memoryMib": "example.com/memory"}}
    labels = settings_of(inventory=inventory).inventory.labels
    assert (labels.memory_mib, labels.product) == ("example.com/memory", f"{MIXED}.product")
    assert labels.compute_major == "nvidia.com/gpu.compute.major"


def test_slices_are_behind_the_taint_of_whole_cards() -> None:
    settings = settings_of(inventory={"gpuResource": MIXED})
    document = offering(MIXED_LABELS, {MIXED: "2"})
    document["spec"]["taints"] = [GPU_TAINT]
    node = read_node(document, settings.inventory)
    assert node is not None
    (found,) = build_inventory([node], (), settings).nodes
    assert [gpu.product for gpu in found.gpus] == ["NVIDIA-H200-MIG-3g.71gb"]


UNUSED = [
    pytest.param(node_document(), (), id="none"),
    pytest.param(node_document(labels={}, gpus=None), (), id="a node without GPUs"),
    pytest.param(
        offering(MIXED_LABELS, {"nvidia.com/gpu": "0", MIXED: "2", "nvidia.com/mig-1g.18gb": "1"}),
        (
            "GPUs offered as nvidia.com/mig-1g.18gb (inventory.gpuResource is nvidia.com/gpu)",
            "GPUs offered as nvidia.com/mig-3g.71gb (inventory.gpuResource is nvidia.com/gpu)",
        ),
        id="slices of the strategy mixed",
    ),
    pytest.param(
        offering(MI300X, {"amd.com/gpu": "8"}),
        ("GPUs offered as amd.com/gpu (inventory.gpuResource is nvidia.com/gpu)",),
        id="AMD's",
    ),
    pytest.param(
        offering({}, {"gpu.intel.com/i915": "1", "gpu.intel.com/i915_monitoring": "1", "example.com/x": "9"}),
        ("GPUs offered as gpu.intel.com/i915 (inventory.gpuResource is nvidia.com/gpu)",),
        id="Intel's, and what is no GPU",
    ),
    pytest.param(
        offering(H200, {"nvidia.com/gpu": "7"}, {"nvidia.com/gpu": "8"}),
        ("GPUs that the device plugin of nvidia.com/gpu calls unhealthy",),
        id="less allocatable than there are",
    ),
    pytest.param(
        offering(H200, {}),
        ("GPUs that no device plugin offers as nvidia.com/gpu",),
        id="labels without a device plugin",
    ),
    pytest.param(
        offering(labelled(product="NVIDIA-H200-MIG-INVALID", memory="0", count="0"), {"nvidia.com/gpu": "0"}),
        ("GPUs that are cut (MIG) in a way that the device plugin does not offer",),
        id="slices that differ under the strategy single",
    ),
]


@pytest.mark.parametrize(("document", "unused"), UNUSED)
def test_gpus_that_runners_may_not_ask_for_are_told(
    document: dict[str, Any], unused: tuple[str, ...]
) -> None:
    assert facts(document).unused == unused
    assert build_inventory([facts(document)], (), SETTINGS).left_out == unused


def test_memory_that_gpu_and_host_share_is_not_promised_twice() -> None:
    node = facts(node_document(labels=SPARK, gpus="1", memory="119Gi"))
    assert node.cards == CardFacts(1, "NVIDIA-GB10", 103 * 1024, (12, 1), unified=True)
    (found,) = build_inventory([node], (), SETTINGS).nodes
    assert (found.gpus[0].memory_gib, found.host_memory_gib) == (103, 15)


def test_other_label_names_are_the_administrators() -> None:
    names = {"memoryMib": "karpenter.k8s.aws/instance-gpu-memory", "product": "", "replicas": ""}
    settings = settings_of(inventory={"labels": names})
    labels = {"karpenter.k8s.aws/instance-gpu-memory": "24576", "nvidia.com/gpu.replicas": "4"}
    node = read_node(node_document(labels=labels, gpus="1"), settings.inventory)
    assert node is not None
    assert node.cards == CardFacts(1, "GPU", 24576, None)


@given(st.dictionaries(st.sampled_from(sorted(H200)), st.text(max_size=63)), st.text(max_size=9))
def test_junk_in_labels_is_never_an_exception(junk: dict[str, str], gpus: str) -> None:
    facts(node_document(labels=H200 | junk, gpus=gpus, memory=gpus, cpu=gpus))


@pytest.mark.parametrize(
    ("resource", "labels"), [(MIXED, MIXED_LABELS), ("amd.com/gpu", MI300X)], ids=["slices", "AMD's"]
)
def test_the_scheduler_finds_other_gpus_by_their_own_labels(resource: str, labels: dict[str, str]) -> None:
    settings = settings_of(inventory={"gpuResource": resource})
    node = read_node(offering(labels, {resource: "2"}), settings.inventory)
    assert node is not None
    task = task_of(rungs_on(build_inventory([node], (), settings), model="t2v-1.3B"))
    terms = required_terms(task, settings.inventory)
    assert any(term_matches(term, labels, "n") for term in terms)
    assert not any(term_matches(term, H200, "n") for term in terms)
