"""The conditions of a status: what programs read, and `kubectl wait`. Pure."""

from __future__ import annotations

from datetime import datetime

from wan_core.api.conditions import REASON_MAX, Condition, ConditionType, set_condition
from wan_core.api.spec import Quality
from wan_core.api.status import MESSAGE_MAX, Phase, PlanStatus, ProgressStatus
from wan_operator.deadlines import stall_time
from wan_operator.history import cut
from wan_operator.planning import Planned, Rejected
from wan_operator.reasons import Reason
from wan_operator.steps import End, Hold, Step, Watch
from wan_operator.world import AttemptState, World

Fact = tuple[ConditionType, bool | None, str, str]  # type, status (None: Unknown), reason, message


def build_conditions(
    world: World,
    planned: Planned | Rejected,
    step: Step,
    plan: PlanStatus | None,
    progress: ProgressStatus | None,
    now: datetime,
) -> list[Condition]:
    """The conditions brought up to date; a transition time moves only with its status."""
    conditions = list(world.status.conditions)
    facts = [
        *_about_plan(world, planned, plan),
        *_about_attempt(world, step, progress, now),
        *_about_end(world, step),
    ]
    for kind, status, reason, message in facts:
        # `deadlines.waiting_since` reads the start of the wait off Running: at first it is the creation.
        first_wait = kind == "Running" and status is False and not any(c.type == kind for c in conditions)
        since = (world.metadata.creation_timestamp or now) if first_wait else now
        new = Condition(
            type=kind,
            status="Unknown" if status is None else "True" if status else "False",
            reason=cut(reason, REASON_MAX),
            message=cut(message, MESSAGE_MAX),
            last_transition_time=since,
            observed_generation=world.metadata.generation,
        )
        conditions = set_condition(conditions, new)
    return conditions


def _about_plan(world: World, planned: Planned | Rejected, plan: PlanStatus | None) -> list[Fact]:
    if isinstance(planned, Rejected):
        refusals: list[ConditionType] = ["Accepted", "Planned"]
        return [(kind, False, planned.reason, planned.message) for kind in refusals]
    count = len(planned.ladder.runnable)
    fits = "PlanChosen" if count else Reason.NO_PLAN_FITS
    facts: list[Fact] = [
        ("Accepted", True, "Valid", "; ".join(planned.notes)),
        ("Planned", count > 0, fits, f"{count} of {len(planned.ladder.rungs)} plans fit"),
    ]
    if plan is not None:
        asked = planned.requests[0].model
        if plan.model != asked:
            facts.append(("Degraded", True, "FallbackModel", f"{plan.model} runs in place of {asked}"))
        elif plan.tier is not Quality.LOSSLESS:
            facts.append(("Degraded", True, "BelowLossless", f"the plan's tier is {plan.tier.value}"))
        else:
            facts.append(("Degraded", False, "Lossless", ""))
    return facts


def _about_attempt(world: World, step: Step, progress: ProgressStatus | None, now: datetime) -> list[Fact]:
    attempt = world.living[-1] if world.living else None
    if attempt is None:
        reason = {Hold: "Suspended", End: "Finished"}.get(type(step), "NoAttempt")
        facts: list[Fact] = [("Running", None if isinstance(step, Hold) else False, reason, "")]
        if any(c.type == "Stalled" for c in world.status.conditions):
            facts.append(("Stalled", False, reason, ""))
        return facts
    # One that is being stopped does not count as running: the start deadline that ended it stays passed.
    watched = isinstance(step, Watch)
    waiting = (attempt.waiting or ("Waiting", "")) if watched else ("Stopping", "")
    on_node = attempt.node is not None
    runs = attempt.state is AttemptState.RUNNING and watched
    facts = [
        ("Scheduled", on_node, "Scheduled" if on_node else waiting[0], "" if on_node else waiting[1]),
        ("Running", runs, "AttemptRunning" if runs else waiting[0], "" if runs else waiting[1]),
    ]
    if watched and progress is not None and progress.updated is not None:
        silent = now >= stall_time(progress.updated, progress.seconds_per_step, world.settings)
        text = f"no report since {progress.updated.isoformat(timespec='seconds')}" if silent else ""
        facts.append(("Stalled", silent, "NoReport" if silent else "Reporting", text))
    return facts


def _about_end(world: World, step: Step) -> list[Fact]:
    if not isinstance(step, End) or world.living:
        return []
    phase = step.phase
    return [
        ("Succeeded", phase is Phase.SUCCEEDED, step.reason, step.message),
        ("Failed", phase is Phase.FAILED, step.reason, step.message),
        ("Finished", True, phase.value, step.message),
    ]
