"""What is told of a change of status: few sentences, each once, and no prompt."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wan_operator.worlds import (
    BEST,
    H100,
    NO_NODES,
    NOW,
    ended,
    failed,
    past,
    reports,
    result_of,
    runs,
    waits,
    world_of,
    written,
)
from wan_core.api.manifest import read_manifest
from wan_core.api.status import AttemptStatus, Phase, Status
from wan_core.errors import Category, InvalidInput
from wan_core.task import Stage
from wan_operator.cluster.sentences import MESSAGE_MAX_BYTES, Sentence, fit_message, read_change
from wan_operator.decide import decide
from wan_operator.world import World

CANARY = "canary-bird-in-the-prompt"


def tell(world: World, old: Status | None = None) -> tuple[Sentence, ...]:
    """What is told of the decision about this world."""
    return read_change(old or world.status, decide(world, NOW).status)


def words(*said: Sentence) -> list[tuple[str, str]]:
    return [(sentence.type, sentence.reason) for sentence in said]


def test_a_plan_is_told_with_what_fits() -> None:
    (said,) = tell(world_of(quality="lossless"))
    assert (said.type, said.reason) == ("Normal", "Planned")
    assert re.fullmatch(rf"\d of \d plans fit; {re.escape(BEST)} is tried first", said.message)


def test_an_attempt_is_told_once_its_gpu_is_known() -> None:
    waiting = world_of(waits(node="a"), status=decide(world_of(), NOW).status)
    status = decide(waiting, NOW).status
    assert read_change(waiting.status, status) == ()
    running = world_of(runs(), status=status, progress=reports(Stage.LOADING, refused=["plan A: too large"]))
    (said,) = tell(running)
    assert (said.type, said.reason) == ("Normal", "AttemptRunning")
    assert said.message.endswith(f"runs {BEST} on {H100} (node a); better plans refused: plan A: too large")
    told = decide(running, NOW).status
    going_on = world_of(runs(), status=told, progress=reports(Stage.DENOISING, done=3, total=9))
    assert tell(going_on) == ()


def after(number: int, *attempts: AttemptStatus, plan: str = BEST) -> tuple[Sentence, ...]:
    """What is told when another attempt has been made after these."""
    old = written(*attempts)
    return read_change(old, written(*attempts, past(number, "Running", plan=plan, gpu=None)))


def test_a_warning_about_the_weights_is_told_once() -> None:
    world = world_of(runs(), progress=reports(Stage.FETCHING, warnings=("no manifest at s3://weights/m",)))
    status = decide(world, NOW).status
    warned = [said for said in read_change(world.status, status) if said.type == "Warning"]
    assert [(said.reason, said.message) for said in warned] == [
        ("AttemptWarning", "attempt 1: no manifest at s3://weights/m")
    ]
    result = result_of(warnings=("no manifest at s3://weights/m", "another"))
    end = decide(world_of(ended(result=result), status=status), NOW).status
    assert [said.message for said in read_change(status, end) if said.reason == "AttemptWarning"] == [
        "attempt 1: another"
    ]


def test_a_failure_is_told_with_its_category() -> None:
    world = world_of(failed(1, Category.CUDA_OUT_OF_MEMORY), status=written(past(1, "Running")))
    ending = next(said for said in tell(world) if said.reason == "AttemptFailed")
    assert ending.message.startswith(f"attempt 1 ({BEST}): CUDA_OUT_OF_MEMORY: it met CUDA_OUT_OF_MEMORY")


def test_a_fallback_says_why_the_next_plan() -> None:
    (said,) = after(2, past(1, "Failed", Category.CUDA_OUT_OF_MEMORY), plan="next")
    assert words(said) == [("Warning", "Fallback")]
    assert said.message == f"attempt 2: next is tried, as {BEST} met CUDA_OUT_OF_MEMORY in attempt 1"


@pytest.mark.parametrize(
    "earlier",
    [
        pytest.param(past(1, "Interrupted", Category.INTERRUPTED), id="after an interruption"),
        pytest.param(past(1, "Failed", Category.NETWORK_ERROR), id="after a failure that time mends"),
    ],
)
def test_the_same_plan_again_is_no_fallback(earlier: AttemptStatus) -> None:
    assert after(2, earlier) == (Sentence("Normal", "AttemptCreated", f"attempt 2: {BEST} is tried"),)


def test_an_interruption_is_told_and_not_charged() -> None:
    (said,) = read_change(
        written(past(1, "Running")), written(past(1, "Interrupted", message="the node was drained"))
    )
    assert said == Sentence(
        "Warning", "AttemptInterrupted", "attempt 1: the node was drained; it is not charged"
    )


@pytest.mark.parametrize(
    ("world", "expected"),
    [
        pytest.param(world_of(inventory=NO_NODES), ("Warning", "NoPlanFits"), id="nothing fits"),
        pytest.param(
            world_of(
                waits(why=("Unschedulable", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")),
                status=written(phase=Phase.QUEUED, reason="Waiting"),
            ),
            ("Warning", "Unschedulable"),
            id="the scheduler finds no node",
        ),
        pytest.param(
            world_of(
                waits(node="a", why=("ErrImagePull", "not found")), status=written(phase=Phase.STARTING)
            ),
            ("Warning", "ErrImagePull"),
            id="the image cannot be pulled",
        ),
        pytest.param(world_of(suspend=True), ("Normal", "Suspended"), id="suspended"),
        pytest.param(world_of(cancel=True), ("Normal", "Cancelled"), id="cancelled"),
        pytest.param(world_of(problems=("spec.frames: 82",)), ("Warning", "InvalidInput"), id="invalid"),
        pytest.param(
            world_of(failed(1, Category.ACCESS_DENIED), status=written(past(1, "Running"))),
            ("Warning", "AccessDenied"),
            id="failed",
        ),
        pytest.param(
            world_of(ended(1, 0, result=result_of()), status=written(past(1, "Running"))),
            ("Normal", "Succeeded"),
            id="succeeded",
        ),
    ],
)
def test_what_matters_is_told_once(world: World, expected: tuple[str, str]) -> None:
    assert expected in words(*tell(world))
    status = decide(world, NOW).status
    assert read_change(status, status) == ()


def test_success_is_told_with_the_address_of_the_video() -> None:
    said = tell(world_of(ended(1, 0, result=result_of()), status=written(past(1, "Running"))))
    assert any("s3://v/x/video.mp4" in sentence.message for sentence in said)


def test_a_stall_is_told_when_it_begins_and_not_again() -> None:
    silent = world_of(runs(since=timedelta(hours=1)), progress=reports(ago=timedelta(minutes=30)))
    first = decide(silent, NOW).status
    assert ("Warning", "Stalled") in words(*read_change(Status(), first))
    later = world_of(
        runs(since=timedelta(hours=1)), status=first, progress=reports(ago=timedelta(minutes=30))
    )
    assert read_change(first, decide(later, NOW + timedelta(minutes=1)).status) == ()


def test_a_plan_below_lossless_is_told_once() -> None:
    said = tell(world_of(quality="near", model="t2v-1.3B", inventory=NO_NODES))
    assert len(said) == len(set(said))


@settings(deadline=None)
@given(st.text(st.characters(codec=None), max_size=2000))
def test_a_message_fits_an_event_whatever_it_says(text: str) -> None:
    message = fit_message(text)
    assert len(message.encode()) <= MESSAGE_MAX_BYTES
    assert message.isprintable()


def problems_of(**spec: Any) -> tuple[str, ...]:
    document = {
        "apiVersion": "wan.video/v1alpha1",
        "kind": "VideoGeneration",
        "metadata": {"name": "corgi"},
        "spec": {"model": "t2v-1.3B", "prompt": CANARY} | spec,
    }
    with pytest.raises(InvalidInput) as caught:
        read_manifest(json.dumps(document))
    return caught.value.problems


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(world_of(prompt=CANARY), id="planned"),
        pytest.param(world_of(prompt=CANARY, negativePrompt=CANARY, inventory=NO_NODES), id="nothing fits"),
        pytest.param(world_of(failed(1, Category.HOST_OUT_OF_MEMORY), prompt=CANARY), id="failed"),
        pytest.param(world_of(ended(1, 0, result=result_of()), prompt=CANARY), id="succeeded"),
        pytest.param(world_of(problems=problems_of(prompt=[CANARY])), id="a list"),
        pytest.param(world_of(problems=problems_of(prompt={CANARY: CANARY})), id="a mapping"),
        pytest.param(world_of(problems=problems_of(prompt=f"{CANARY}\x00")), id="NUL"),
        pytest.param(world_of(problems=problems_of(prompt=CANARY * 1000)), id="too long"),
        pytest.param(world_of(problems=problems_of(frames=82)), id="another field"),
    ],
)
def test_no_prompt_is_told(world: World) -> None:
    said = tell(world, Status())
    assert said
    assert not [sentence for sentence in said if CANARY in sentence.message]


def test_what_is_slow_or_poor_is_one_event_a_generation() -> None:
    world = world_of(steps=5, fps=60)
    (said,) = [said for said in tell(world) if said.reason == "Caution"]
    assert said.type == "Warning"
    assert said.message == "; ".join(decide(world, NOW).status.warnings)
    assert "spec.steps: 5 is 10 %" in said.message
    old = written(warnings=["a"])
    for warnings, generation, count in (
        (["a"], 1, 0),
        (["a", "b"], 1, 0),  # the plan has changed: told once a generation
        ([], 1, 0),
        (["a"], 2, 0),
        (["a", "b"], 2, 1),
    ):
        new = old.model_copy(update={"warnings": warnings, "observed_generation": generation})
        assert len(read_change(old, new)) == count
    (first,) = read_change(written(), written(warnings=["a", "b"]))
    assert first == Sentence("Warning", "Caution", "a; b")
