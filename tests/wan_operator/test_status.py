"""What a status tells besides phase and reason: conditions, plan, progress, output."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.wan_operator.worlds import (
    CREATED,
    H100,
    NO_NODES,
    NOW,
    OUTPUT,
    condition,
    ended,
    past,
    reports,
    result_of,
    rungs_of,
    runs,
    then,
    waits,
    world_of,
    written,
)
from wan_core.api.spec import Quality
from wan_core.api.status import LoadStatus, ProgressStatus, StageSeconds
from wan_core.api.status import Phase as ResourcePhase
from wan_core.errors import Category
from wan_core.phases import Phase
from wan_core.plan.inventory import Gpu, Inventory, Node
from wan_core.task import LoadReport, Stage, WeightsUse
from wan_operator.decide import decide
from wan_operator.world import World

LONG_AGO = timedelta(hours=1)
SMALL_GPU = Inventory(
    nodes=(Node(name="a", gpus=(Gpu(product="NVIDIA-L4", memory_gib=22.5),), host_memory_gib=512),)
)
NEAR = next(r.plan.label for r in rungs_of(world_of()) if r.tier is Quality.NEAR)


@pytest.mark.parametrize(
    ("world", "kind", "expected"),
    [
        pytest.param(world_of(), "Accepted", ("True", "Valid"), id="a valid request is accepted"),
        pytest.param(
            world_of(problems=("a: b",)), "Accepted", ("False", "InvalidInput"), id="an invalid one is not"
        ),
        pytest.param(world_of(), "Planned", ("True", "PlanChosen"), id="what fits is planned"),
        pytest.param(
            world_of(inventory=NO_NODES), "Planned", ("False", "NoPlanFits"), id="what fits nothing is not"
        ),
        pytest.param(world_of(waits()), "Scheduled", ("False", "Waiting"), id="a pod without a node"),
        pytest.param(world_of(waits(node="a")), "Scheduled", ("True", "Scheduled"), id="a pod with a node"),
        pytest.param(world_of(), "Running", ("False", "NoAttempt"), id="no attempt does not run"),
        pytest.param(world_of(runs()), "Running", ("True", "AttemptRunning"), id="an attempt runs"),
        pytest.param(world_of(suspend=True), "Running", ("Unknown", "Suspended"), id="suspended is neither"),
        pytest.param(world_of(runs()), "Stalled", None, id="before a report nothing is stalled"),
        pytest.param(
            world_of(runs(since=LONG_AGO)), "Stalled", None, id="however long the first report takes"
        ),
        pytest.param(
            world_of(runs(), progress=reports()), "Stalled", ("False", "Reporting"), id="a report is news"
        ),
        pytest.param(
            world_of(runs(since=LONG_AGO), progress=reports(ago=timedelta(seconds=300))),
            "Stalled",
            ("True", "NoReport"),
            id="five minutes of silence after a report are a stall",
        ),
        pytest.param(
            world_of(runs(since=LONG_AGO), progress=reports(ago=LONG_AGO / 2, seconds_per_step=900)),
            "Stalled",
            ("False", "Reporting"),
            id="not where a step takes longer than that",
        ),
        pytest.param(world_of(), "Degraded", ("False", "Lossless"), id="a lossless plan degrades nothing"),
        pytest.param(
            world_of(runs(), progress=reports().model_copy(update={"plan": NEAR})),
            "Degraded",
            ("True", "BelowLossless"),
            id="a plan below lossless does",
        ),
        pytest.param(
            world_of(
                model="t2v-A14B",
                fallback={"models": ["t2v-1.3B"]},
                status=written(past(1, "Interrupted", plan="t2v-1.3B/cuda/bf16+resident")),
                suspend=True,
            ),
            "Degraded",
            ("True", "FallbackModel"),
            id="so does another model",
        ),
        pytest.param(world_of(ended()), "Succeeded", ("True", "Succeeded"), id="success"),
        pytest.param(world_of(ended()), "Failed", ("False", "Succeeded"), id="success is no failure"),
        pytest.param(world_of(ended(code=70)), "Failed", ("True", "InternalError"), id="failure"),
        pytest.param(world_of(ended()), "Finished", ("True", "Succeeded"), id="finished well"),
        pytest.param(world_of(ended(code=70)), "Finished", ("True", "Failed"), id="finished badly"),
        pytest.param(world_of(cancel=True), "Finished", ("True", "Cancelled"), id="finished by request"),
        pytest.param(world_of(runs()), "Finished", None, id="not finished"),
    ],
)
def test_condition(world: World, kind: str, expected: tuple[str, str] | None) -> None:
    assert condition(decide(world, NOW).status, kind) == expected


def test_a_condition_keeps_its_transition_time_until_its_status_changes() -> None:
    first = decide(world_of(), NOW).status
    later = NOW + timedelta(minutes=5)
    second = decide(replace(world_of(waits()), status=first), later).status
    third = decide(replace(world_of(runs()), status=second), later).status
    times = [
        next(c.last_transition_time for c in s.conditions if c.type == "Running")
        for s in (first, second, third)
    ]
    assert times == [CREATED, CREATED, later]


def test_every_condition_has_the_generation_that_it_speaks_of() -> None:
    status = decide(world_of(generation=7), NOW).status
    assert {c.observed_generation for c in status.conditions} == {7}
    assert status.observed_generation == 7


def test_a_finished_status_follows_the_generation_and_nothing_else() -> None:
    done = decide(world_of(ended()), NOW).status
    status = decide(replace(world_of(generation=2, cancel=True), status=done), NOW).status
    assert status == done.model_copy(update={"observed_generation": 2})


@pytest.mark.parametrize(
    ("stage", "done", "percent"),
    [
        (Stage.FETCHING, 5, 0),
        (Stage.ENCODING_TEXT, 0, 0),
        (Stage.DENOISING, 0, 0),
        (Stage.DENOISING, 5, 25),
        (Stage.DENOISING, 20, 100),
        (Stage.DECODING, 0, 100),
        (Stage.UPLOADING, 3, 100),
    ],
)
def test_percent_counts_denoising_steps(stage: Stage, done: int, percent: int) -> None:
    progress = decide(world_of(runs(), progress=reports(stage, done=done, total=20)), NOW).status.progress
    assert progress is not None
    assert progress.percent == percent


def test_progress_of_an_earlier_attempt_is_not_shown_for_the_next() -> None:
    world = then(world_of(runs(), progress=reports(done=5, total=20)), attempts=(ended(code=75),))
    assert decide(then(world, attempts=(runs(2),), progress=None), NOW).status.progress is None


def test_the_plan_in_force_is_the_one_that_was_bound() -> None:
    plan = decide(world_of(runs(), progress=reports().model_copy(update={"plan": NEAR})), NOW).status.plan
    assert plan is not None
    assert (plan.label, plan.device, plan.tier) == (NEAR, H100, Quality.NEAR)


def test_a_suspended_resource_shows_the_whole_plan() -> None:
    status = decide(world_of(suspend=True), NOW).status
    assert status.phase is ResourcePhase.SUSPENDED
    assert status.plan is not None
    assert status.plan.label == rungs_of(world_of())[0].plan.label
    assert len(status.ladder) > 1
    assert status.seed is not None


def test_the_output_is_what_the_runner_verified() -> None:
    assert decide(world_of(ended(result=result_of())), NOW).status.output == OUTPUT


def test_without_a_result_the_output_is_what_can_be_computed() -> None:
    output = decide(world_of(ended(), frames=17), NOW).status.output
    assert output is not None
    assert output.uri.startswith("s3://videos/default/7a1c0f5e")
    assert output.uri.endswith("/1/video.mp4")
    assert (output.frames, output.sha256) == (17, None)


def test_an_interruption_is_counted_and_a_cancelled_attempt_is_not() -> None:
    history = written(past(1, "Interrupted", Category.INTERRUPTED), past(2, "Cancelled"))
    assert decide(world_of(status=history), NOW).status.interruptions == 1


def test_texts_of_others_are_cut_to_what_the_status_holds() -> None:
    refused = tuple("x" * 5000 for _ in range(40))
    world = world_of(runs(), progress=reports(refused=refused))
    (attempt,) = decide(world, NOW).status.attempts
    assert len(attempt.refused) == 12
    assert {len(text) for text in attempt.refused} == {1024}


def loading(phase: Phase = Phase.DOWNLOAD, percent: float = 41.9, **more: Any) -> LoadReport:
    return LoadReport(phase=phase, done=12 << 30, total=24 << 30, percent=percent, rate=2.0**30, **more)


def test_while_the_model_is_loaded_percent_is_of_loading() -> None:
    load = loading(rss_bytes=5, cgroup_bytes=6, device_bytes=7)
    world = world_of(runs(), progress=reports(Stage.FETCHING, load=load, eta_seconds=12))
    status = decide(world, NOW).status
    assert (status.phase, status.progress) == (
        "Loading",
        ProgressStatus(
            stage="Fetching",
            percent=41,
            load=LoadStatus(
                phase="download",
                done=12 << 30,
                total=24 << 30,
                unit="bytes",
                rate=2.0**30,
                rss_bytes=5,
                cgroup_bytes=6,
                vram_bytes=7,
            ),
            eta=NOW + timedelta(seconds=12),
            updated=NOW,
        ),
    )
    assert status.message.endswith("; download, 12.0 GiB of 24.0 GiB, 1.0 GiB/s")


def test_what_counts_items_or_does_not_know_how_many_is_told_too() -> None:
    cases = [(LoadReport(phase=Phase.CACHE_CHECK, done=2, total=9), "; cache check, 2 of 9"),
             (LoadReport(phase=Phase.INITIALIZATION), "; initialization")]  # fmt: skip
    for load, told in cases:
        status = decide(world_of(runs(), progress=reports(Stage.FETCHING, load=load)), NOW).status
        assert status.message.endswith(told)


def test_once_it_denoises_nothing_of_loading_is_left() -> None:
    world = then(world_of(runs(), progress=reports(Stage.LOADING, load=loading(percent=99))))
    progress = decide(replace(world, progress=reports(done=1, total=20)), NOW).status.progress
    assert progress is not None
    assert (progress.percent, progress.load) == (5, None)


def test_what_loading_took_stands_in_the_attempt() -> None:
    result = result_of(
        bytes_loaded=70,
        model_digest="abc",
        warnings=("weights unverified",),
        weights=WeightsUse(bytes_cached=30, retries=2),
        seconds={"Fetching": 1.5, "EncodingText": 2.0, "Nonsense": 3.0},
    )
    (attempt,) = decide(world_of(ended(result=result)), NOW).status.attempts
    assert (attempt.bytes_loaded, attempt.bytes_cached, attempt.retries) == (70, 30, 2)
    assert (attempt.model_digest, attempt.warnings) == ("abc", ["weights unverified"])
    assert attempt.seconds == StageSeconds(fetching=1.5, encoding_text=2.0)


def test_one_that_was_killed_while_it_loaded_is_told_with_what_it_held() -> None:
    report = reports(Stage.LOADING, load=loading(Phase.LOADING, rss_bytes=30 << 30))
    killed = ended(code=137, oom_killed=True)
    (attempt,) = decide(world_of(killed, progress=report), NOW).status.attempts[:1]
    assert attempt.category == "HOST_OUT_OF_MEMORY"
    assert attempt.message.endswith("; last seen: loading, 12.0 GiB of 24.0 GiB, memory 30.0 GiB")


def test_a_warning_is_told_while_the_attempt_runs_and_stays() -> None:
    world = world_of(runs(), progress=reports(Stage.FETCHING, warnings=("w" * 2000, "b", "c", "d", "e")))
    (attempt,) = decide(world, NOW).status.attempts
    assert [len(text) for text in attempt.warnings[:3]] == [1024, 1, 1]
    assert attempt.warnings[3] == "and 2 more warnings"
    later = then(world, progress=reports(Stage.DENOISING))
    assert decide(later, NOW).status.attempts[0].warnings == attempt.warnings


def test_what_is_slow_or_poor_in_a_request_stands_in_its_status_from_the_first() -> None:
    (told,) = decide(world_of(steps=5), NOW).status.warnings
    assert told == "spec.steps: 5 is 10 % of the model's own 50; so few leave blur and noise"
    assert decide(world_of(), NOW).status.warnings == []
    assert decide(world_of(frames=82), NOW).status.warnings == []  # it is refused: nothing is poor in it


def test_warnings_are_about_the_plan_in_force() -> None:
    world = world_of(model="t2v-A14B", inventory=SMALL_GPU, suspend=True)
    (planned,) = decide(world, NOW).status.warnings
    assert re.match(r"plan: block-streaming, as all of it needs \d+\.\d GiB of one GPU; ", planned)
    ran = written(past(1, "Interrupted", plan="t2v-A14B/cuda/bf16+block-streaming"))
    elsewhere = world_of(model="t2v-A14B", status=ran, suspend=True)
    assert decide(elsewhere, NOW).status.warnings == [planned]
    gone = written(past(1, "Interrupted", plan="of an older version"), warnings=["as it was"])
    assert decide(world_of(status=gone, suspend=True), NOW).status.warnings == ["as it was"]


def test_there_are_at_most_eight_of_them_the_last_counts_the_others_and_no_prompt_is_in_any() -> None:
    poor = {
        "prompt": "canary " * 900,
        "steps": 1,
        "fps": 120,
        "frames": 161,
        "resolution": "496x496",
        "guidance": {"scale": 1},
        "negativePrompt": "canary",
        "imageFit": "pad",
        "deadlines": {"run": "1s"},
    }
    warnings = decide(world_of(**poor), NOW).status.warnings
    assert len(warnings) == 8
    assert re.fullmatch(r"and \d more warnings", warnings[-1])
    assert not any("canary" in text for text in warnings)


def test_they_are_the_same_before_an_attempt_starts_and_once_it_runs() -> None:
    world = world_of(model="wan-tiny", inventory=Inventory(nodes=(Node(name="a", host_memory_gib=64),)))
    started = decide(world, NOW).status
    assert re.match(r"plan: runs on the CPU, .* by estimate; ", started.warnings[0])
    assert decide(then(world, attempts=(runs(),)), NOW).status.warnings == started.warnings
