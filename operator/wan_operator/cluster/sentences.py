"""What is worth telling about a change of a status: a handful of sentences in a resource's life. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from wan_core.api.conditions import REASON_MAX, Condition, ConditionType
from wan_core.api.status import AttemptStatus, Phase, Status
from wan_operator.cluster.logs import quote

MESSAGE_MAX_BYTES = 1024  # the API server's own limit for a message of an Event
NORMAL: Literal["Normal"] = "Normal"
WARNING: Literal["Warning"] = "Warning"

BEFORE_RUNNING = (Phase.PENDING, Phase.PLANNED, Phase.QUEUED, Phase.STARTING)
# Reasons in these phases that are no trouble: the ordinary way to a running attempt.
ORDINARY = frozenset(
    {
        "",
        "PlanChosen",
        "Starting",
        "Stopping",
        "Suspended",
        "BackOff",
        "Waiting",
        "ContainerCreating",
        "PodInitializing",
    }
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """Type, reason and message of an Event."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def read_change(old: Status, new: Status) -> tuple[Sentence, ...]:
    """The sentences, in the order in which things happened."""
    parts = (_plan, _cautions, _attempts, _waiting, _conditions, _end)
    facts = (fact for part in parts for fact in part(old, new))
    return tuple(
        Sentence(kind, quote(reason, REASON_MAX), fit_message(message)) for kind, reason, message in facts
    )


def fit_message(message: str) -> str:
    """The message as an Event may have it: in UTF-8 at most MESSAGE_MAX_BYTES, no control characters."""
    text = quote(message, MESSAGE_MAX_BYTES)
    data = text.encode()
    if len(data) <= MESSAGE_MAX_BYTES:
        return text
    return data[: MESSAGE_MAX_BYTES - 3].decode(errors="ignore") + "…"


Fact = tuple[Literal["Normal", "Warning"], str, str]


def _attempts(old: Status, new: Status) -> Iterator[Fact]:
    before = {a.number: a for a in old.attempts}
    for earlier, attempt in zip([None, *new.attempts], new.attempts, strict=False):
        known = before.get(attempt.number)
        if known is not None and known.outcome != "Running":
            continue
        if known is None and earlier is not None:
            yield _start(earlier, attempt)
        told = known.warnings if known is not None else []
        yield from (
            (WARNING, "AttemptWarning", f"attempt {attempt.number}: {text}")
            for text in attempt.warnings
            if text not in told
        )
        if attempt.outcome != "Running":
            yield from _ending(attempt)
        elif attempt.gpu and (known is None or not known.gpu):
            yield NORMAL, "AttemptRunning", _binding(attempt)


def _start(earlier: AttemptStatus, attempt: AttemptStatus) -> Fact:
    """Which plan another attempt tries, and why it is not that of the one before."""
    text = f"attempt {attempt.number}: {attempt.plan} is tried"
    if earlier.outcome != "Failed" or earlier.plan in (None, attempt.plan):
        return NORMAL, "AttemptCreated", text
    return (
        WARNING,
        "Fallback",
        f"{text}, as {earlier.plan} met {earlier.category} in attempt {earlier.number}",
    )


def _binding(attempt: AttemptStatus) -> str:
    node = f" (node {attempt.node})" if attempt.node else ""
    refused = f"; better plans refused: {'; '.join(attempt.refused)}" if attempt.refused else ""
    return f"attempt {attempt.number} runs {attempt.plan} on {attempt.gpu}{node}{refused}"


def _ending(attempt: AttemptStatus) -> Iterator[Fact]:
    told = f"attempt {attempt.number}"
    if attempt.outcome == "Failed":
        advice = f". {attempt.advice}" if attempt.advice else ""
        plan = f" ({attempt.plan})" if attempt.plan else ""
        yield WARNING, "AttemptFailed", f"{told}{plan}: {attempt.category}: {attempt.message}{advice}"
    elif attempt.outcome == "Interrupted":
        yield WARNING, "AttemptInterrupted", f"{told}: {attempt.message}; it is not charged"
    elif attempt.outcome == "Cancelled":
        yield NORMAL, "AttemptStopped", f"{told}: {attempt.message}"


def _plan(old: Status, new: Status) -> Iterator[Fact]:
    planned = _begun("Planned", old, new)
    if planned is not None:
        first = f"; {new.plan.label} is tried first" if new.plan is not None else ""
        yield NORMAL, "Planned", f"{planned.message}{first}"


def _cautions(old: Status, new: Status) -> Iterator[Fact]:
    """Once a generation, and only if there is something that was not said: a plan may come and go."""
    first = not old.warnings or old.observed_generation != new.observed_generation
    if first and set(new.warnings) - set(old.warnings):
        yield WARNING, "Caution", "; ".join(new.warnings)


def _waiting(old: Status, new: Status) -> Iterator[Fact]:
    troubled = new.phase in BEFORE_RUNNING and new.reason not in ORDINARY
    if troubled and new.reason != old.reason:
        yield WARNING, new.reason, new.message
    if new.phase is Phase.SUSPENDED and old.phase is not Phase.SUSPENDED:
        yield NORMAL, new.reason, new.message


def _conditions(old: Status, new: Status) -> Iterator[Fact]:
    stalled, degraded = _begun("Stalled", old, new), _begun("Degraded", old, new)
    if stalled is not None:
        yield WARNING, "Stalled", stalled.message
    if degraded is not None:
        yield NORMAL, "Degraded", degraded.message


def _end(old: Status, new: Status) -> Iterator[Fact]:
    if new.phase.finished and not old.phase.finished:
        yield WARNING if new.phase is Phase.FAILED else NORMAL, new.reason, new.message


def _begun(kind: ConditionType, old: Status, new: Status) -> Condition | None:
    """The condition, if it is true now and was not before, or for another reason."""
    before = next((c for c in old.conditions if c.type == kind and c.status == "True"), None)
    now = next((c for c in new.conditions if c.type == kind and c.status == "True"), None)
    return now if now is not None and (before is None or before.reason != now.reason) else None
