"""It falls back: a plan that failed for its needs gives way to the next, and the status tells both."""

from __future__ import annotations

from tests.e2e.bed import Options
from tests.e2e.films import BIG, Films, script
from tests.e2e.gpus import h200, l4

BED = Options(runner="scripted", nodes=(h200("big-1"), h200("big-2"), l4("small-1")), namespaces=10)
OOM = {"category": "CUDA_OUT_OF_MEMORY", "message": "tried to allocate 2.0 GiB, 1.1 GiB are free"}
MISFIT = {"category": "INCOMPATIBLE_HARDWARE", "message": "this driver is too old"}


def test_after_a_cuda_oom_the_next_plan_makes_the_video(films: Films) -> None:
    films.apply("corgi", **{**BIG, "prompt": script(OOM, {"seconds": 1})})
    status = films.wait_end("corgi", "Succeeded")
    first, second = status["attempts"]
    assert (first["outcome"], first["category"]) == ("Failed", "CUDA_OUT_OF_MEMORY")
    assert "tried to allocate 2.0 GiB" in first["message"]
    assert second["outcome"] == "Succeeded"
    assert second["plan"] != first["plan"]
    told = films.bed.control.kubectl("describe", "vgen", "corgi", "-n", films.namespace)
    assert "CUDA_OUT_OF_MEMORY" in told


def test_host_memory_is_limited_for_real_and_the_next_plan_needs_less(films: Films) -> None:
    """The container takes far more than its limit, so the kernel or the kubelet kills it."""
    films.apply("heavy", model="wan-tiny", prompt=script({"allocate_mib": 8192}, {"seconds": 1}))
    status = films.wait_phase("heavy", "Succeeded", "Failed", timeout_s=120)
    first = status["attempts"][0]
    assert (first["outcome"], first["category"]) == ("Failed", "HOST_OUT_OF_MEMORY")
    if status["phase"] == "Succeeded":
        assert status["attempts"][1]["plan"] != first["plan"]
    else:
        assert status["reason"] == "HostOutOfMemory"


def test_incompatible_hardware_sends_it_to_another_product(films: Films) -> None:
    films.apply("old", **{**BIG, "prompt": script(MISFIT, {"seconds": 1})})
    status = films.wait_end("old", "Succeeded")
    first, second = status["attempts"]
    assert first["category"] == "INCOMPATIBLE_HARDWARE"
    assert (first["plan"], first["node"]) != (second["plan"], second["node"])


def test_when_every_plan_has_failed_it_ends_with_computed_advice(films: Films) -> None:
    films.apply("hopeless", **{**BIG, "prompt": script(OOM)}, fallback={"maxAttempts": 16})
    status = films.wait_end("hopeless", "Failed", timeout_s=240)
    assert status["reason"] == "CUDAOutOfMemory"
    assert "no plan is left" in status["message"] or "attempts are used" in status["message"]
    plans = [(a["plan"], a["gpu"] if "gpu" in a else a["node"]) for a in status["attempts"]]
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
