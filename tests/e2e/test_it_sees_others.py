"""With `inventory.occupancy: cluster`, and its rights, what the pods of others use is not planned for."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.controlplane.kubelet import Image
from tests.e2e.bed import TAG, Bed, Options, wait_until
from tests.e2e.films import BIG, Films, script
from tests.e2e.gpus import GPU, Join, h200, l4
from tests.e2e.rights import granted, right_of, used

BED = Options(runner="scripted", namespaces=4, values={"inventory": {"occupancy": "cluster"}})
EITHER = {**BIG, "frames": 49, "prompt": script({"seconds": 1})}  # best on an H200, possible on an L4
OTHERS = "/api/v1/namespaces/default/pods"
Occupy = Callable[[str], None]


@pytest.fixture
def occupy(bed: Bed, join: Join) -> Iterator[Occupy]:
    """A pod of somebody else's, in a namespace that is not served, takes a node's GPU for one test."""
    bed.images[f"others:{TAG}"] = Image(("sleep", "600"))
    names: list[str] = []

    def take(node: str) -> None:
        limits = {"limits": {GPU: "1"}}
        container = {"name": "main", "image": f"others:{TAG}", "resources": limits}
        spec = {"nodeName": node, "containers": [container], "terminationGracePeriodSeconds": 0}
        bed.api.create(OTHERS, {"metadata": {"name": f"on-{node}"}, "spec": spec})
        names.append(f"on-{node}")
        wait_until(lambda: bed.api.get(f"{OTHERS}/on-{node}")["status"]["phase"] == "Running", 120)

    yield take
    for name in names:
        bed.control.kubectl("delete", "pod", name, "-n", "default", "--ignore-not-found")


def first_verdict(films: Films) -> str:
    """Whether the best plan of one that is planned now fits."""
    name = f"look-{uuid.uuid4()}"
    films.apply(name, **EITHER, suspend=True)
    status = films.wait(name, lambda s: bool(s.get("ladder")), what="a ladder")
    return str(status["ladder"][0]["verdict"])


def test_the_plan_is_for_the_node_that_others_leave_free(films: Films, join: Join, occupy: Occupy) -> None:
    join(l4(), h200())
    assert first_verdict(films) == "FitsNow"
    occupy("h200")
    wait_until(lambda: first_verdict(films) == "FitsLater", 120, lambda: "nobody saw it")
    films.apply("where", **EITHER)
    status = films.wait_end("where", "Succeeded")
    assert [(a["number"], a["node"]) for a in status["attempts"]] == [(1, "l4")]
    best = status["ladder"][0]
    assert (best["plan"], best["verdict"]) == ("ti2v-5B/cuda/bf16+resident", "FitsLater")
    assert "NVIDIA-H200" in best["reason"]
    assert "0.0 of 140.4 GiB free now" in best["reason"]
    free = next(rung for rung in status["ladder"] if rung["verdict"] == "FitsNow")
    assert free["plan"] == "ti2v-5B/cuda/bf16+component-offload"
    assert "NVIDIA-L4" in free["reason"]


def test_what_others_use_is_waited_for_and_what_they_give_back_is_taken(
    bed: Bed, films: Films, join: Join, occupy: Occupy
) -> None:
    join(h200())
    occupy("h200")
    wait_until(lambda: first_verdict(films) == "FitsLater", 120, lambda: "nobody saw it")
    films.apply("patient", **EITHER)
    films.wait(  # the scheduler's first word may be of the node's cache, which is made just then
        "patient",
        lambda s: s.get("reason") == "Unschedulable" and "Insufficient nvidia.com/gpu" in s["message"],
        what="to be told that no GPU is free",
    )
    bed.control.kubectl("delete", "pod", "on-h200", "-n", "default")
    status = films.wait_end("patient", "Succeeded")
    assert [(a["number"], a["node"]) for a in status["attempts"]] == [(1, "h200")]
    wait_until(lambda: first_verdict(films) == "FitsNow", 120, lambda: "the GPU still counts as taken")


def test_all_pods_may_be_read_and_are_and_nothing_was_forbidden(bed: Bed, films: Films) -> None:
    films.apply("one", **EITHER, suspend=True)
    films.wait("one", lambda s: bool(s.get("ladder")))
    asked = used(bed)
    pods = [event for event in asked if event["objectRef"]["resource"] == "pods"]
    assert {event["verb"] for event in pods} == {"list", "watch"}
    assert not [event for event in pods if "namespace" in event["objectRef"]]
    about_pods = {right for right in granted(bed) if right[2].startswith("pods")}
    assert about_pods == {("list", "", "pods"), ("watch", "", "pods")}
    refused = [right_of(e) for e in asked if e.get("responseStatus", {}).get("code") in (401, 403)]
    assert refused == []
