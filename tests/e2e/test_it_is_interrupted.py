"""It is interrupted: what ends an attempt from outside costs nothing, is counted, and the next one begins."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.controlplane.client import Document
from tests.e2e.bed import Bed, Options, wait_until
from tests.e2e.films import BIG, Films, script
from tests.e2e.gpus import h200, l4

BED = Options(
    runner="scripted",
    nodes=(h200("h200-1"), h200("h200-2"), l4("l4-1")),
    namespaces=12,
)
THEN_DONE = {**BIG, "prompt": script({"seconds": 300}, {"seconds": 1, "upload": True})}
LONG = {**BIG, "prompt": script({"seconds": 300})}


def test_a_pod_that_the_user_deletes_is_run_again(films: Films) -> None:
    films.apply("pod", **THEN_DONE)
    pod = films.wait_running_pod()
    films.bed.control.kubectl("delete", "pod", "-n", films.namespace, pod["metadata"]["name"], "--wait=false")
    assert_continues(films, "pod")


def test_a_job_that_the_user_deletes_is_run_again(films: Films) -> None:
    films.apply("job", **THEN_DONE)
    films.wait_running_pod()
    films.bed.control.kubectl("delete", "job", "-n", films.namespace, "--all", "--wait=false")
    assert_continues(films, "job")


def test_a_job_that_is_deleted_with_its_pod_left_behind_is_not_run_twice(films: Films) -> None:
    """--cascade=orphan: the pod goes on; the laws (one living attempt) are checked by the fixture."""
    films.apply("orphan", **THEN_DONE)
    films.wait_running_pod()
    films.bed.control.kubectl("delete", "job", "-n", films.namespace, "--all", "--cascade=orphan")
    films.wait_end("orphan", "Succeeded", timeout_s=60)


def test_a_drained_node_sends_it_elsewhere(films: Films, bed: Bed) -> None:
    films.apply("drained", **THEN_DONE)
    node = films.wait_running_pod()["spec"]["nodeName"]
    kubectl = bed.control.kubectl
    kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=60s")
    try:
        status = assert_continues(films, "drained")
        assert status["attempts"][1]["node"] != node
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


@pytest.mark.timeout(400)
def test_a_silent_node_is_given_up_and_its_late_runner_is_fenced(
    films: Films, bed: Bed, woken: list[str]
) -> None:
    slow = script({"seconds": 150, "upload": True}, {"seconds": 1, "upload": True})
    films.apply("silent", **{**BIG, "prompt": slow})
    pod = films.wait_running_pod()
    node = pod["spec"]["nodeName"]
    bed.kubelet.silence(node)
    woken.append(node)
    status = films.wait_end("silent", "Succeeded", timeout_s=240)
    first, second = status["attempts"]
    assert first["outcome"] == "Interrupted"
    assert "NodeLost" in first["message"] or "node" in first["message"]
    assert second["node"] != node
    assert status["output"]["uri"].endswith("/2/video.mp4")
    bed.kubelet.wake(node)
    woken.clear()
    wait_until(lambda: not films.pods(), 60, lambda: "the pod of the silent node is still there")
    assert films.status("silent")["output"] == status["output"]


def test_the_start_deadline_ends_what_never_ran(films: Films, bed: Bed) -> None:
    films.apply("late", **LONG, deadlines={"start": "4s"}, scheduling={"gpuProducts": ["NVIDIA-H200"]})
    status = films.wait_phase("late", "Running", "Failed", "Queued", "Starting")
    bed.control.kubectl("cordon", "h200-1")
    bed.control.kubectl("cordon", "h200-2")
    try:
        films.apply("later", **LONG, deadlines={"start": "4s"}, scheduling={"gpuProducts": ["NVIDIA-H200"]})
        status = films.wait_end("later", "Failed", timeout_s=40)
    finally:
        bed.control.kubectl("uncordon", "h200-1")
        bed.control.kubectl("uncordon", "h200-2")
    assert status["reason"] == "StartDeadlineExceeded"
    films.delete("late")


def test_the_run_deadline_ends_what_runs_too_long(films: Films) -> None:
    films.apply("endless", **LONG, deadlines={"run": "3s"})
    status = films.wait_end("endless", "Failed", timeout_s=40)
    assert status["reason"] == "RunDeadlineExceeded"
    wait_until(lambda: not films.pods(), 20, lambda: "its pod is still there")


def test_too_many_interruptions_end_it(films: Films) -> None:
    films.apply("unlucky", **{**BIG, "prompt": script({"exit": 75, "seconds": 0})})
    status = films.wait_end("unlucky", "Failed", timeout_s=200)
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
