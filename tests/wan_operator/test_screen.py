"""What a person reads while a resource runs."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from tests.wan_operator.worlds import past, written
from wan_core.api.status import LoadStatus, Phase, ProgressStatus, Status
from wan_core.api.words import printable
from wan_core.errors import Category
from wan_operator.screen import ResourceScreen, tell_progress


def follow(*statuses: Status, terminal: bool = False) -> str:
    """What is printed for these statuses."""
    text = io.StringIO()
    with ResourceScreen(Console(file=text, force_terminal=terminal, width=200)) as screen:
        for status in statuses:
            screen.show(status)
    return text.getvalue()


def denoising(step: int) -> Status:
    progress = ProgressStatus(stage="Denoising", step=step, steps=20, percent=5 * step, seconds_per_step=0.5)
    return Status(phase=Phase.RUNNING, progress=progress)


def test_each_phase_is_one_line_with_its_time() -> None:
    lines = follow(
        Status(), Status(phase=Phase.PLANNED, message="why"), Status(phase=Phase.PLANNED)
    ).splitlines()
    assert [line[9:] for line in lines] == ["Pending", "Planned    why"]
    assert all(line[2] == line[5] == ":" for line in lines)


def test_plain_output_has_no_control_codes_and_progress_in_steps_of_ten_percent() -> None:
    text = follow(*[denoising(step) for step in range(21)])
    assert "\x1b" not in text
    assert "\r" not in text
    steps = [line.split()[1] for line in text.splitlines() if "step " in line]
    assert steps == [str(step) for step in range(0, 21, 2)]


def test_a_terminal_gets_a_bar_with_step_and_pace() -> None:
    text = follow(denoising(7), terminal=True)
    assert "7 of 20, 0.50 s/step" in text


def test_a_failed_attempt_is_told_once_with_its_plan_and_reason() -> None:
    status = written(past(1, "Failed", Category.CUDA_OUT_OF_MEMORY, message="needs more", plan="a/cuda/b"))
    text = follow(status, status)
    assert text.count("attempt 1 (a/cuda/b) failed: CUDA_OUT_OF_MEMORY: needs more") == 1


def test_words_of_others_cannot_steer_the_terminal_or_the_markup() -> None:
    text = follow(Status(phase=Phase.RUNNING, message="\x1b[2J[bold]\u202egnp\nx"))
    assert "\x1b" not in text
    assert "[bold]" in text
    assert printable("\u202e\n") == "\\u202e\\n"


def loading(percent: int, phase: str = "download", **more: Any) -> Status:
    load = LoadStatus(phase=phase, done=percent << 30, total=100 << 30, unit="bytes", rate=2.0**30)
    return Status(
        phase=Phase.LOADING, progress=ProgressStatus(stage="Fetching", percent=percent, load=load, **more)
    )


def test_a_terminal_gets_a_bar_while_it_loads() -> None:
    text = follow(loading(41, eta=datetime.now(UTC) + timedelta(seconds=59.5)), terminal=True)
    assert "download" in text
    assert "41.0 GiB of 100.0 GiB, 1.0 GiB/s, ETA 59 s" in text or "ETA 60 s" in text


def test_plain_output_tells_of_each_tenth_of_loading_and_then_of_denoising() -> None:
    lines = follow(*[loading(n) for n in range(0, 100, 3)], *[denoising(n) for n in range(3)]).splitlines()
    told = [line.strip() for line in lines if line.startswith("  ")]
    assert [line for line in told if line.startswith("step")] == [
        "step 0 of 20, 0.50 s/step",
        "step 2 of 20, 0.50 s/step",
    ]
    assert [line.split()[1] for line in told if line.startswith("download")] == [
        f"{n}.0" if n else "0" for n in (0, 12, 24, 36, 48, 60, 72, 84, 96)
    ]


def test_a_phase_that_does_not_know_how_much_it_is_has_no_line() -> None:
    load = LoadStatus(phase="initialization", unit="items")
    status = Status(phase=Phase.STARTING, progress=ProgressStatus(stage="Starting", load=load))
    assert len(follow(status).splitlines()) == 1


def test_a_warning_about_the_request_is_told_once() -> None:
    status = Status(phase=Phase.PLANNED, message="why", warnings=["spec.steps: 8 is few"])
    assert follow(status, status).count("warning: spec.steps: 8 is few") == 1


def test_a_warning_of_an_attempt_is_told_once() -> None:
    status = written(past(1, "Running", warnings=["nobody vouches for the weights"]))
    text = follow(status, status)
    assert text.count("attempt 1: nobody vouches for the weights") == 1


def test_pace_says_what_is_known() -> None:
    eta = datetime.now(UTC) - timedelta(seconds=5)
    at = ProgressStatus(stage="Denoising", step=1, steps=2)
    assert tell_progress(at) == "step 1 of 2"
    known = at.model_copy(update={"seconds_per_step": 2, "eta": eta})
    assert tell_progress(known) == "step 1 of 2, 2.00 s/step, ETA 0 s"
