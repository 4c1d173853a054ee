"""What became of each attempt: the written history, brought up to date with what is seen. Pure.

An outcome once written stays, with one exception: an attempt that was told to stop, or was thought lost, and
nevertheless ended with a video has succeeded.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from wan_core.api.status import (
    ATTEMPTS_MAX,
    LINE_MAX,
    REFUSALS_MAX,
    WARNINGS_MAX,
    AttemptStatus,
    Outcome,
    OutputStatus,
    StageSeconds,
)
from wan_core.api.words import first_of, words_of_bytes, words_of_load
from wan_core.errors import TABLE, Category, category_of_exit
from wan_core.phases import UNITS
from wan_core.task import Progress, Result, Stage
from wan_operator.world import Observed, World

STAGE_FIELDS = {stage.value: stage.name.lower() for stage in Stage}  # EncodingText: encoding_text

Ending = Literal["Failed", "Interrupted", "Cancelled"]


def cut(text: str, limit: int = LINE_MAX) -> str:
    """The text, or its start and an ellipsis where it is longer than a status field may be."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def record_attempts(world: World, now: datetime) -> tuple[AttemptStatus, ...]:
    """Every attempt ever made, oldest first, with what is known about it now."""
    seen = {attempt.number: attempt for attempt in world.attempts}
    written = {attempt.number: attempt for attempt in world.status.attempts}
    numbers = sorted(seen.keys() | written.keys())
    return _bounded([_record(world, written.get(n), seen.get(n), now) for n in numbers])


def end_attempts(
    history: Sequence[AttemptStatus], numbers: set[int], outcome: Ending, message: str, now: datetime
) -> tuple[AttemptStatus, ...]:
    """The history in which the running ones among `numbers` have that end, because we stop them."""
    update = {"outcome": outcome, "message": cut(message), "finished": now}
    return tuple(
        a.model_copy(update=update) if a.number in numbers and a.outcome == "Running" else a for a in history
    )


def category_of(attempt: AttemptStatus) -> Category:
    """The category of a failed attempt; a word that is none of ours counts as our bug."""
    known = {category.value: category for category in Category}
    return known.get(attempt.category or "", Category.INTERNAL)


def plan_of_refusal(line: str) -> str:
    """The plan that a line of `refused`, `label: why`, is about."""
    return line.split(": ", 1)[0]


def trusted_result(attempt: Observed) -> Result | None:
    """The attempt's Result, if it speaks of the Task that was given."""
    result = attempt.result
    if result is None or result.attempt != attempt.number or result.task_digest != attempt.task_digest:
        return None
    return result


def output_of(world: World, number: int) -> OutputStatus | None:
    """What a successful attempt left in S3, as its Result says; None where the Result was lost."""
    seen = next((a for a in world.attempts if a.number == number), None)
    result = trusted_result(seen) if seen is not None else None
    return result.output if result is not None else None


def _record(world: World, old: AttemptStatus | None, seen: Observed | None, now: datetime) -> AttemptStatus:
    if seen is None:
        assert old is not None  # a number comes from one of the two
        return old if old.outcome != "Running" else _gone(world, old, now)
    if old is not None and old.outcome != "Running" and (old.outcome == "Succeeded" or seen.exit_code != 0):
        return old
    if seen.lives:
        return _living(world, old, seen)
    return _ended(world, old, seen, now)


def _gone(world: World, old: AttemptStatus, now: datetime) -> AttemptStatus:
    wanted = world.spec is not None and (world.spec.cancel or world.spec.suspend)
    message = "its job was removed on request" if wanted else "its job was removed by somebody else"
    outcome = "Cancelled" if wanted else "Interrupted"
    category = None if wanted else Category.INTERRUPTED.value
    return old.model_copy(
        update={"outcome": outcome, "category": category, "message": message, "finished": now}
    )


def _living(world: World, old: AttemptStatus | None, seen: Observed) -> AttemptStatus:
    report = _report_of(world.progress, seen)
    return AttemptStatus(
        number=seen.number,
        job=seen.job,
        pod=seen.pod or (old.pod if old else None),
        node=seen.node or (old.node if old else None),
        gpu=(report.device if report else None) or (old.gpu if old else None),
        plan=(report.plan if report else None) or (old.plan if old else None) or seen.plan,
        started=seen.started or (old.started if old else None),
        refused=_lines(report.refused) if report and report.refused else (old.refused if old else []),
        warnings=_warnings(report.warnings) if report and report.warnings else (old.warnings if old else []),
        seconds_per_step=(report.seconds_per_step if report else None)
        or (old.seconds_per_step if old else None),
    )


def _ended(world: World, old: AttemptStatus | None, seen: Observed, now: datetime) -> AttemptStatus:
    last = _living(world, old, seen)
    result = trusted_result(seen)
    outcome, category, message = _classify(world, seen, result)
    given = result.advice if result is not None and result.category is category else ""
    facts: dict[str, Any] = {
        "outcome": outcome,
        "category": category.value if category is not None else None,
        "message": cut(message),
        "advice": cut(_advice(world, category, given)) or None,
        "finished": seen.finished or now,
    }
    if result is not None:
        facts |= {
            "plan": result.plan or last.plan,
            "gpu": result.device or last.gpu,
            "refused": _refusals(seen, result, category) or last.refused,
            "warnings": _warnings(result.warnings) or last.warnings,
            "model_digest": result.model_digest,
            "bytes_loaded": result.bytes_loaded,
            "bytes_cached": result.weights.bytes_cached if result.weights is not None else None,
            "retries": result.weights.retries if result.weights is not None else None,
            "peak_vram_gib": result.peak_device_gib,
            "seconds_per_step": result.seconds_per_step or last.seconds_per_step,
            "seconds": _stage_seconds(result),
        }
    return last.model_copy(update=facts)


def _classify(world: World, seen: Observed, result: Result | None) -> tuple[Outcome, Category | None, str]:
    """How the attempt ended: outcome, category, message. Success needs exit code 0 and no other story."""
    if seen.result is not None and result is None:
        story = "the runner's Result is not about the Task that it was given"
        return "Failed", Category.INTEGRITY_ERROR, story
    if seen.exit_code == 0 and (result is None or result.category is None):
        story = "" if result is not None else "its Result was lost: the output has no digest"
        return "Succeeded", None, story
    category = _category(seen, result)
    message = result.message if result is not None else ""
    if category is not Category.INTERRUPTED:
        how = "was killed for its memory" if seen.oom_killed else "ended"
        story = message or seen.story or f"the runner {how} with exit code {seen.exit_code}"
        return "Failed", category, story + (_last_seen(world, seen) if result is None else "")
    if world.spec is not None and (world.spec.cancel or world.spec.suspend):
        return "Cancelled", None, "stopped on request"
    story = seen.story or message or f"it was stopped from outside (exit code {seen.exit_code})"
    return "Interrupted", Category.INTERRUPTED, story


def _last_seen(world: World, seen: Observed) -> str:
    """Where an attempt that could not tell its end was in loading, and what memory it held."""
    report = _report_of(world.progress, seen)
    if report is None or report.load is None:
        return ""
    load = report.load
    amount = words_of_load(load.done, load.total, UNITS[load.phase], None)
    memory = f"memory {words_of_bytes(load.rss_bytes)}" if load.rss_bytes is not None else ""
    return "; last seen: " + ", ".join(part for part in (load.phase.value, amount, memory) if part)


def _advice(world: World, category: Category | None, given: str) -> str:
    """The runner's own, and where the credentials come from that it could not know."""
    if category is not Category.ACCESS_DENIED:
        return given
    return f"{given or TABLE[category].advice} {world.settings.credentials}".rstrip()


def _category(seen: Observed, result: Result | None) -> Category:
    if seen.verdict is not None:
        return seen.verdict
    if (
        result is not None
        and result.category is not None
        and seen.exit_code == TABLE[result.category].exit_code
    ):
        return result.category
    code = seen.exit_code if seen.exit_code is not None else TABLE[Category.INTERRUPTED].exit_code
    return category_of_exit(code, oom_killed=seen.oom_killed) or Category.INTERNAL


def _refusals(seen: Observed, result: Result, category: Category | None) -> list[str]:
    """Why better plans were not taken. Where none was bound at all, each that was carried has its line."""
    if category is None or not TABLE[category].other_plan or result.plan is not None:
        return _lines(result.refused)
    told = {plan_of_refusal(line): line for line in result.refused}
    return _lines([told.get(plan, f"{plan}: does not fit there") for plan in seen.plans])


def _report_of(progress: Progress | None, seen: Observed) -> Progress | None:
    return progress if progress is not None and progress.attempt == seen.number else None


def _stage_seconds(result: Result) -> StageSeconds | None:
    """None where the attempt came to no stage; what is no stage of ours is left out."""
    known = {STAGE_FIELDS[key]: seconds for key, seconds in result.seconds.items() if key in STAGE_FIELDS}
    return StageSeconds(**known) if known else None


def _warnings(texts: Sequence[str]) -> list[str]:
    return [cut(text) for text in first_of(texts, WARNINGS_MAX, "warnings")]


def _lines(texts: Sequence[str]) -> list[str]:
    return [cut(text) for text in texts[:REFUSALS_MAX]]


def _bounded(history: list[AttemptStatus]) -> tuple[AttemptStatus, ...]:
    """At most `ATTEMPTS_MAX`: the oldest cancelled ones go first, since no decision looks at them."""
    surplus = len(history) - ATTEMPTS_MAX
    droppable = [a.number for a in history[:-1] if a.outcome == "Cancelled"][: max(surplus, 0)]
    return tuple(a for a in history if a.number not in droppable)
