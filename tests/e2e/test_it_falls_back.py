"""It falls back: a plan that failed for its needs gives way to the next, and the status tells both."""

from __future__ import annotations

from tests.controlplane.kubelet import NodeSpec
from tests.e2e.bed import Bed, Options, wait_until
from tests.e2e.films import BIG, Films, script
from tests.e2e.gpus import h200, l4
from tests.e2e.witness import PODS

BED = Options(
    runner="scripted",
    nodes=(h200("big-1", count=4), l4("small-1", count=4), NodeSpec("cpu-1")),
    namespaces=10,
)
EITHER = {**BIG, "frames": 49}  # in full on an H200; on an L4 by a plan that moves components to the host
OOM = {"category": "CUDA_OUT_OF_MEMORY", "message": "tried to allocate 2.0 GiB, 1.1 GiB are free"}
MISFIT = {"category": "INCOMPATIBLE_HARDWARE", "message": "this driver is too old"}


def test_after_a_cuda_oom_the_next_plan_makes_the_video(films: Films) -> None:
    films.apply("corgi", **{**EITHER, "prompt": script(OOM, {"seconds": 1})})
    status = films.wait_end("corgi", "Succeeded")
    first, second = status["attempts"]
    assert [a["number"] for a in status["attempts"]] == [1, 2]
    assert (first["outcome"], first["category"]) == ("Failed", "CUDA_OUT_OF_MEMORY")
    assert first["message"] == "tried to allocate 2.0 GiB, 1.1 GiB are free"
    assert second["outcome"] == "Succeeded"
    needs = {rung["plan"]: rung["estimate"]["vramGib"] for rung in status["ladder"]}
    assert needs[second["plan"]] < needs[first["plan"]]
    assert status["plan"]["label"] == second["plan"]
    kubectl = films.bed.control.kubectl
    words = f"attempt 2: {second['plan']} is tried, as {first['plan']} met CUDA_OUT_OF_MEMORY in attempt 1"

    def told() -> str:
        return kubectl("describe", "vgen", "corgi", "-n", films.namespace)

    wait_until(lambda: words in told(), 60, told)
    wide = kubectl("get", "vgen", "corgi", "-n", films.namespace, "-o", "wide").splitlines()
    assert "ATTEMPTS" in wide[0]
    assert second["plan"] in wide[1]


def test_host_memory_is_limited_for_real_and_the_next_plan_needs_less(films: Films) -> None:
    """The container takes more than its limit, so the kernel or the kubelet kills it."""
    films.apply("heavy", model="wan-tiny", prompt=script({"allocate_mib": 8192}, {"seconds": 1}))
    pod = films.wait_running_pod()
    (container,) = pod["spec"]["containers"]
    assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]
    status = films.wait_end("heavy", "Succeeded")
    first, second = status["attempts"]
    assert (first["outcome"], first["category"]) == ("Failed", "HOST_OUT_OF_MEMORY")
    assert "killed for its memory" in first["message"]
    needs = {rung["plan"]: rung["estimate"]["hostGib"] for rung in status["ladder"]}
    assert needs[second["plan"]] < needs[first["plan"]]
    ended = [
        status["state"]["terminated"]
        for moment in films.witness.of(PODS, films.namespace)
        for status in moment.object.get("status", {}).get("containerStatuses", [])
        if "terminated" in status["state"]
    ]
    assert ("OOMKilled", 137) in [(state["reason"], state["exitCode"]) for state in ended]


def test_incompatible_hardware_sends_it_to_another_product(films: Films, bed: Bed) -> None:
    """A plan that failed on one product is not tried there again; on another it is."""
    roomy = {**BIG, "model": "t2v-1.3B"}
    bed.control.kubectl("cordon", "small-1")
    try:
        misfit = {"seconds": 10, "device": "NVIDIA-H200", **MISFIT}  # by then the other one is open again
        films.apply("old", **{**roomy, "prompt": script(misfit, {"seconds": 1, "device": "NVIDIA-L4"})})
        films.wait_running_pod()
    finally:
        bed.control.kubectl("uncordon", "small-1")
    status = films.wait_end("old", "Succeeded")
    first, second = status["attempts"]
    assert (first["category"], first["node"]) == ("INCOMPATIBLE_HARDWARE", "big-1")
    assert (second["node"], second["plan"]) == ("small-1", first["plan"])


def test_when_every_plan_has_failed_it_ends_with_computed_advice(films: Films) -> None:
    films.apply("hopeless", **{**EITHER, "prompt": script(OOM)}, fallback={"maxAttempts": 16})
    status = films.wait_end("hopeless", "Failed")
    assert status["reason"] == "CUDAOutOfMemory"
    last = status["attempts"][-1]
    assert f"no plan is left after attempt {last['number']} ({last['plan']})" in status["message"]
    assert "tried to allocate 2.0 GiB" in status["message"]
    assert "Another plan could be tried with quality: near (ti2v-5B/cuda/" in status["message"]
    assert len(status["attempts"]) > 1
    plans = [a["plan"] for a in status["attempts"]]
    assert len(set(plans)) == len(plans), "a plan was tried twice where it had failed"


def test_failures_are_charged_against_max_attempts(films: Films) -> None:
    films.apply("twice", **{**BIG, "prompt": script(OOM)}, fallback={"maxAttempts": 2})
    status = films.wait_end("twice", "Failed")
    assert len(status["attempts"]) == 2
    assert "All 2 attempts are used (fallback.maxAttempts)" in status["message"]


def test_what_no_plan_can_avoid_ends_at_once(films: Films) -> None:
    films.apply("denied", **{**BIG, "prompt": script({"category": "ACCESS_DENIED", "message": "403"})})
    status = films.wait_end("denied", "Failed")
    assert status["reason"] == "AccessDenied"
    assert len(status["attempts"]) == 1
    assert "credentials" in status["message"]


def test_a_runner_that_dies_without_a_word_is_our_bug_and_says_so(films: Films) -> None:
    films.apply("mute", **{**BIG, "prompt": script({"exit": 3, "result": False})})
    status = films.wait_end("mute", "Failed")
    assert status["reason"] == "InternalError"
    assert "exit code 3" in status["message"]


def test_success_is_only_believed_with_exit_code_0(films: Films) -> None:
    films.apply("liar", **{**BIG, "prompt": script({"exit": 70, "category": None})})
    assert films.wait_end("liar", "Failed")["reason"] == "InternalError"
