"""It is interrupted: what ends an attempt from outside costs nothing, is counted, and the next one begins."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.controlplane.client import Document
from tests.controlplane.commands import Options as Settings
from tests.controlplane.kubelet import NodeSpec
from tests.e2e.bed import Bed, Options, wait_until
from tests.e2e.films import BIG, Films, script
from tests.e2e.gpus import h200
from tests.e2e.witness import FINISHED

BED = Options(
    runner="scripted",
    nodes=(NodeSpec("system-1"), h200("h200-1", count=4), h200("h200-2", count=4)),
    values={"nodeSelector": {"kubernetes.io/hostname": "system-1"}},
    namespaces=12,
    control_plane=Settings(node_grace_s=20, eviction_s=2),
)
THEN_DONE = {**BIG, "prompt": script({"seconds": 300}, {"seconds": 1, "upload": True})}
LONG = {**BIG, "prompt": script({"seconds": 300})}
# What is told depends on how fast the pod went: its end is seen, or only that it is gone.
REMOVED = ("its pod was deleted", "its pod was removed", "its job was removed by somebody else")
LOST_AFTER_S = 95  # of silence: node, eviction, grace and the operator's own patience


def test_a_pod_that_the_user_deletes_is_run_again(films: Films) -> None:
    films.apply("pod", **THEN_DONE)
    pod = films.wait_running_pod()
    films.bed.control.kubectl("delete", "pod", "-n", films.namespace, pod["metadata"]["name"], "--wait=false")
    status = assert_continues(films, "pod")
    assert any(words in status["attempts"][0]["message"] for words in REMOVED)

    def told() -> str:
        return films.bed.control.kubectl("describe", "vgen", "pod", "-n", films.namespace)

    wait_until(lambda: "AttemptInterrupted" in told(), 60, told)
    assert "it is not charged" in told()


def test_a_job_that_the_user_deletes_is_run_again(films: Films) -> None:
    films.apply("job", **THEN_DONE)
    films.wait_running_pod()
    films.bed.control.kubectl("delete", "job", "-n", films.namespace, "--all", "--wait=false")
    status = assert_continues(films, "job")
    assert any(words in status["attempts"][0]["message"] for words in REMOVED)


def test_a_job_that_is_deleted_with_its_pod_left_behind_is_not_run_twice(films: Films) -> None:
    """--cascade=orphan: the pod goes on, and its end is the attempt's; the fixture checks the laws."""
    films.apply("orphan", **{**BIG, "prompt": script({"seconds": 30, "upload": True})})
    films.wait_running_pod()
    films.bed.control.kubectl("delete", "job", "-n", films.namespace, "--all", "--cascade=orphan")
    before = films.status("orphan").get("progress", {}).get("percent", 0)
    films.wait(
        "orphan", lambda s: s["phase"] == "Running" and s["progress"]["percent"] > before, what="progress"
    )
    status = films.wait_end("orphan", "Succeeded")
    assert [a["outcome"] for a in status["attempts"]] == ["Succeeded"]
    assert status["output"]["sha256"]


def test_a_drained_node_sends_it_elsewhere(films: Films, bed: Bed) -> None:
    films.apply("drained", **THEN_DONE)
    node = films.wait_running_pod()["spec"]["nodeName"]
    kubectl = bed.control.kubectl
    try:
        kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=180s")
        status = assert_continues(films, "drained")
        assert status["attempts"][1]["node"] != node
        assert "EvictionByEvictionAPI" in status["attempts"][0]["message"]
    finally:
        kubectl("uncordon", node)


def test_a_runner_that_is_killed_from_nowhere_is_run_again(films: Films, bed: Bed) -> None:
    films.apply("killed", **THEN_DONE)
    pod = films.wait_running_pod()
    bed.kubelet.kill_processes(f"{films.namespace}/{pod['metadata']['name']}", signal.SIGKILL)
    assert_continues(films, "killed")


@pytest.fixture
def woken(bed: Bed) -> Iterator[list[str]]:
    """Nodes put in here are woken after the test."""
    names: list[str] = []
    yield names
    for name in names:
        bed.kubelet.wake(name)


@pytest.mark.timeout(1200)
def test_a_silent_node_is_given_up_and_its_late_runner_is_fenced(
    films: Films, bed: Bed, woken: list[str]
) -> None:
    """The runner goes on unseen and uploads after all: beside the video of its successor, not over it."""
    slow = script({"seconds": LOST_AFTER_S + 20, "upload": True}, {"seconds": 1, "upload": True})
    films.apply("silent", **{**BIG, "prompt": slow})
    pod = films.wait_running_pod()
    node = pod["spec"]["nodeName"]
    bed.kubelet.silence(node)
    woken.append(node)
    status = films.wait_end("silent", "Succeeded", timeout_s=600)
    first, second = status["attempts"]
    assert (first["outcome"], first["node"]) == ("Interrupted", node)
    assert first["message"].startswith(f"NodeLost: node {node} is not ready")
    assert second["node"] != node
    assert second["plan"] == first["plan"]
    uri = status["output"]["uri"]
    assert uri.endswith("/2/video.mp4")
    ours = next(key for key in films.keys("silent") if uri.endswith(key))
    made = bed.s3.client().get_object(Bucket="videos", Key=ours)["Body"].read()
    late = ours.replace("/2/", "/1/")
    wait_until(lambda: late in films.keys("silent"), 180, lambda: "the late runner uploaded nothing")
    bed.kubelet.wake(node)
    woken.clear()
    wait_until(lambda: not films.pods(), 120, lambda: "the pod of the silent node is still there")
    assert bed.s3.client().get_object(Bucket="videos", Key=ours)["Body"].read() == made
    assert films.status("silent") == status


def test_the_start_deadline_ends_what_never_ran_with_the_reason(films: Films) -> None:
    films.forbid("pods", "none")
    late = {**LONG, "deadlines": {"start": "30s"}}  # twice what a Job without a pod is given to find one
    films.apply("refused", **late)
    films.apply("nowhere", **{**late, "scheduling": {"gpuProducts": ["NVIDIA GB200"]}})
    films.apply("patient", **LONG)
    status = films.wait_end("nowhere", "Failed")
    assert status["reason"] == "StartDeadlineExceeded"
    assert "no attempt ran within deadlines.start (30s)" in status["message"]
    assert "gpuProducts" in status["message"]
    status = films.wait_end("refused", "Failed")
    assert status["reason"] == "StartDeadlineExceeded"
    assert "exceeded quota: none" in status["message"]
    assert films.status("patient")["phase"] not in FINISHED
    films.delete("patient")


def test_the_run_deadline_ends_what_runs_too_long(films: Films) -> None:
    films.apply("endless", **LONG, deadlines={"run": "3s"})
    status = films.wait_end("endless", "Failed")
    assert status["reason"] == "RunDeadlineExceeded"
    assert "it ran longer than deadlines.run (3s)" in status["message"]
    assert [a["category"] for a in status["attempts"]] == ["DEADLINE_EXCEEDED"]
    wait_until(lambda: not films.pods(), 120, lambda: "its pod is still there")


def test_too_many_interruptions_end_it(films: Films) -> None:
    films.apply("unlucky", **{**BIG, "prompt": script({"exit": 75, "seconds": 0})})
    status = films.wait_end("unlucky", "Failed", timeout_s=800)
    assert status["reason"] == "TooManyInterruptions"
    assert status["interruptions"] == 21


def assert_continues(films: Films, name: str) -> Document:
    """Interrupted once, not charged, then done on the same plan."""
    status = films.wait_end(name, "Succeeded")
    first, second = status["attempts"]
    assert first["outcome"] == "Interrupted"
    assert status["interruptions"] == 1
    assert second["plan"] == first["plan"]
    assert len([k for k in films.keys(name) if k.endswith("video.mp4")]) == 1
    return status
