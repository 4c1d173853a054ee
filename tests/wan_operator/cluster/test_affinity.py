"""Scheduler and planner agree: a node matches the Job's terms exactly if a rung of it fits there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.wan_operator.cluster.documents import H200, RTX4090, V100, node_document, settings_of
from tests.wan_operator.cluster.jobs import inventory_of, rungs_on, task_of
from wan_core.plan.choose import Exclusion
from wan_core.plan.places import find_places, fits_empty
from wan_core.plan.techniques import suits
from wan_core.task import Task
from wan_operator.cluster.affinity import preferred_terms, required_terms, term_matches
from wan_operator.cluster.settings import ClusterSettings

SETTINGS = settings_of()
SHARED = settings_of(inventory={"allowSharedGpus": True})
REFERENCE = [node_document("ref-1", H200), node_document("ref-2", RTX4090)]
RUNGS = rungs_on(inventory_of(*REFERENCE))


def matches(task: Task, labels: dict[str, str], settings: ClusterSettings = SETTINGS) -> bool:
    return any(term_matches(term, labels, "n") for term in required_terms(task, settings.inventory))


def with_memory(mib: int) -> dict[str, str]:
    return H200 | {"nvidia.com/gpu.product": "NVIDIA-Card", "nvidia.com/gpu.memory": str(mib)}


def test_a_gpu_matches_from_the_very_mib_that_the_least_rung_needs() -> None:
    task = task_of(RUNGS)
    least = min(rung.memory.peak_gib for rung in RUNGS) * 1024
    enough = int(least) + (least > int(least))
    assert matches(task, with_memory(enough))
    assert not matches(task, with_memory(enough - 1))


def test_terms_that_others_imply_are_left_out() -> None:
    terms = required_terms(task_of(RUNGS), SETTINGS.inventory)
    sizes = {e["values"][0] for t in terms for e in t["matchExpressions"] if e["operator"] == "Gt"}
    assert len(sizes) == 1
    assert len(terms) == 4  # the size by label or by product, and two ways of not being shared


def test_a_plan_that_failed_on_one_product_keeps_its_room_on_others() -> None:
    weakest = min(RUNGS, key=lambda rung: rung.memory.peak_gib)
    task = task_of((weakest,), (Exclusion(plan=weakest.plan.label, product="NVIDIA-H200"),))
    assert not matches(task, H200)
    assert matches(task, RTX4090)


SHARING = [
    pytest.param({"nvidia.com/gpu.sharing-strategy": "time-slicing"}, False, id="time-slicing"),
    pytest.param({"nvidia.com/gpu.sharing-strategy": "mps"}, False, id="MPS"),
    pytest.param({"nvidia.com/gpu.replicas": "4"}, False, id="replicas"),
    pytest.param({"nvidia.com/gpu.replicas": "1"}, True, id="one replica"),
]


@pytest.mark.parametrize(("labels", "matched"), SHARING)
def test_shared_gpus_are_avoided_unless_they_are_allowed(labels: dict[str, str], matched: bool) -> None:
    assert matches(task_of(RUNGS), H200 | labels) is matched
    assert matches(task_of(RUNGS), H200 | labels, SHARED)


def test_cards_without_bf16_are_avoided() -> None:
    assert not matches(task_of(RUNGS), V100)


labels = st.fixed_dictionaries(
    {"nvidia.com/gpu.compute.major": st.sampled_from(["7", "8", "9", "10"])},
    optional={
        "nvidia.com/gpu.product": st.sampled_from(["NVIDIA-H200", "NVIDIA-L4", "NVIDIA-L40S", "NVIDIA-Card"]),
        "nvidia.com/gpu.memory": st.one_of(
            st.sampled_from([12288, 16384, 23034, 24564, 46068, 143771]).map(str),
            st.integers(1, 40_000).map(str),
            st.sampled_from(["plenty", "0"]),
        ),
        "nvidia.com/gpu.replicas": st.sampled_from(["0", "1", "2", "some"]),
        "nvidia.com/gpu.sharing-strategy": st.sampled_from(["none", "time-slicing", "mps"]),
    },
)


@given(st.data(), labels, st.sampled_from([SETTINGS, SHARED]))
def test_a_node_matches_exactly_if_a_rung_fits_its_gpu(
    data: st.DataObject, labels: dict[str, str], settings: ClusterSettings
) -> None:
    document = node_document("new", labels)
    wanted = data.draw(st.sampled_from([[], ["NVIDIA-H200"], ["NVIDIA L4", "NVIDIA-H200"]]))
    scheduling = {"scheduling": {"gpuProducts": wanted}}
    known = inventory_of(node_document("ref", H200), document, settings=settings)
    open_rungs = rungs_on(known, **scheduling)
    rungs = data.draw(st.lists(st.sampled_from(open_rungs), min_size=1, unique=True).map(tuple))
    products = st.sampled_from(["NVIDIA-H200", "NVIDIA-L4", "NVIDIA-L40S"])
    exclusions = st.builds(
        Exclusion, plan=st.sampled_from(rungs).map(lambda r: r.plan.label), product=products
    )
    excluded = tuple(data.draw(st.lists(exclusions, max_size=3)))
    task = task_of(rungs, excluded).model_copy(update={"gpu_products": tuple(wanted)})
    places = [p for p in find_places(inventory_of(document, settings=settings), wanted) if p.kind == "cuda"]
    fits = any(
        not suits(rung.plan, place.kind, place.capability)
        and fits_empty(rung.need_on(place.product), place)
        and not any(e.covers(rung.plan.label, place.product) for e in excluded)
        for place in places
        for rung in rungs
    )
    assert matches(task, document["metadata"]["labels"], settings) == fits


def weight(task: Task, labels: dict[str, str]) -> int:
    terms = preferred_terms(task, SETTINGS.inventory)
    return sum(t["weight"] for t in terms if term_matches(t["preference"], labels, "n"))


@given(st.integers(4000, 40_000), st.integers(4000, 40_000))
@example(16_000, 12_000)
def test_the_node_of_the_better_rung_weighs_more(one: int, other: int) -> None:
    task = task_of(RUNGS)
    needs = [rung.memory.peak_gib * 1024 for rung in RUNGS]
    best = [next((i for i, need in enumerate(needs) if need <= mib), None) for mib in (one, other)]
    assume(None not in best)
    weights = [weight(task, with_memory(mib)) for mib in (one, other)]
    assert (best[0] < best[1], best[0] > best[1]) == (weights[0] > weights[1], weights[0] < weights[1])


def test_where_every_node_is_as_good_none_is_preferred() -> None:
    assert preferred_terms(task_of(RUNGS[-1:]), SETTINGS.inventory) == []


def test_without_a_memory_label_the_products_that_the_catalogue_knows_are_named() -> None:
    settings = settings_of(inventory={"labels": {"memoryMib": "", "computeMajor": "", "replicas": ""}})
    (term,) = required_terms(task_of(RUNGS), settings.inventory)
    (expression,) = [e for e in term["matchExpressions"] if e["operator"] == "In"]
    assert expression["values"] == ["NVIDIA-GeForce-RTX-4090", "NVIDIA-H200"]
    assert preferred_terms(task_of(RUNGS), settings.inventory) == []


GT = {"key": "m", "operator": "Gt", "values": ["5"]}


@pytest.mark.parametrize(
    ("term", "labels", "matched"),
    [
        pytest.param({}, {"m": "6"}, False, id="an empty term selects nothing"),
        pytest.param({"matchExpressions": [GT]}, {"m": "6"}, True, id="more"),
        pytest.param({"matchExpressions": [GT]}, {"m": "5"}, False, id="Gt is strict"),
        pytest.param({"matchExpressions": [GT]}, {"m": "six"}, False, id="no number"),
        pytest.param({"matchExpressions": [GT]}, {}, False, id="no label"),
        pytest.param({"matchExpressions": [GT | {"operator": "Lt"}]}, {"m": "4"}, True, id="less"),
        pytest.param(
            {"matchExpressions": [GT | {"operator": "NotIn"}]}, {}, True, id="not in, for it is absent"
        ),
        pytest.param(
            {"matchExpressions": [GT | {"operator": "Exists"}]}, {"m": ""}, True, id="there, but empty"
        ),
        pytest.param(
            {"matchExpressions": [GT | {"operator": "Like"}]}, {"m": "5"}, False, id="unknown operator"
        ),
        pytest.param(
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]},
            {},
            True,
            id="a name",
        ),
    ],
)
def test_terms_select_as_the_scheduler_has_it(
    term: dict[str, Any], labels: dict[str, str], matched: bool
) -> None:
    assert term_matches(term, labels, "n") is matched
