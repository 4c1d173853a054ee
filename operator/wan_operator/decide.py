"""What to do next about one VideoGeneration. Pure: no I/O, no clock but the argument, nothing remembered.

Level-triggered: the decision follows from what is, never from what just happened, so lost events do no harm
and the process may die between any two lines of whoever calls this. The laws:

- An attempt starts only while none lives.
- A resource is finished only when none of its attempts lives, and stays so: of a finished status only
  `observedGeneration` moves.
- The written status follows the world: the same world and clock give the same status.
- An interruption costs nothing but is counted; a failure is charged against `fallback.maxAttempts`.
- A finished resource is deleted only if `spec.retention` says so, and only when nothing of it is left.

Read `decide`, then `next_step`; the rest is detail. `history` says how attempts ended, `planning` which plans
there are, `status` how all of it is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import takewhile

from wan_core.api.status import AttemptStatus, Phase, Status
from wan_core.errors import TABLE, Category
from wan_core.plan.choose import exclude, weaker
from wan_core.plan.ladder import nothing_fits
from wan_operator.deadlines import back_off, retention_end, run_deadline, stall_time, start_deadline
from wan_operator.history import category_of, end_attempts, record_attempts
from wan_operator.jobs import build_task, job_name
from wan_operator.planning import (
    Planned,
    Rejected,
    cure,
    failures_of,
    plan_request,
)
from wan_operator.pod_shape import carry
from wan_operator.queued import why_anew
from wan_operator.reasons import Reason
from wan_operator.status import build_status
from wan_operator.steps import End, Hold, Start, Step, Wait, Watch
from wan_operator.world import (
    Action,
    Decision,
    DeleteAttempt,
    DeleteResource,
    StartAttempt,
    StopAttempt,
    World,
)

INTERRUPTIONS_MAX = 20  # status.ATTEMPTS_MAX has room for them
NUMBER_MAX = 10_000  # of attempts, those stopped on request included: more cannot be told


def decide(world: World, now: datetime) -> Decision:
    """The actions, the status to write after them, and when to look again."""
    if world.status.phase.finished:
        return keep(world, now)
    planned = plan_request(world)
    history = expire(world, record_attempts(world, now), now)
    step = next_step(world, planned, history, now)
    history = stop_unwanted(world, history, step, now)
    status = build_status(world, planned, history, step, now)
    actions = (*start(world, step), *tidy(world, history))
    return Decision(actions, status, requeue_after(world, status, step, now))


def keep(world: World, now: datetime) -> Decision:
    """What is left to do for a finished resource: nothing, but to tidy up and to delete it in the end."""
    seen = world.status.model_copy(update={"observed_generation": world.metadata.generation})
    actions = tidy(world, world.status.attempts)
    over = retention_end(world)
    if over is None or now < over:
        return Decision(actions, seen, (over - now).total_seconds() if over is not None else None)
    return Decision(actions if world.attempts else (DeleteResource(),), seen)


def next_step(
    world: World, planned: Planned | Rejected, history: Sequence[AttemptStatus], now: datetime
) -> Step:
    """What should come next, whether or not an attempt must end first."""
    spec = world.spec
    done = next((a for a in history if a.outcome == "Succeeded"), None)
    if done is not None:
        return End(Phase.SUCCEEDED, Reason.SUCCEEDED, done.message)
    if spec is not None and spec.cancel:
        return End(Phase.CANCELLED, Reason.CANCELLED, "stopped on request")
    if isinstance(planned, Rejected):
        return End(Phase.FAILED, planned.reason, planned.message)
    assert spec is not None  # without one it is Rejected
    hopeless = _hopeless(history, spec.fallback.max_attempts)
    if hopeless is not None:
        return hopeless
    if spec.suspend:
        return Hold(Reason.SUSPENDED, "planned; no attempt is made while spec.suspend is true")
    late = start_deadline(world, history, spec.deadlines, now)
    if late is not None and now >= late:
        return End(Phase.FAILED, Reason.START_DEADLINE_EXCEEDED, _late_start(world, planned, history))
    if any(_wanted(a, world) for a in history):
        why = why_anew(world, planned, history)
        return Watch() if why is None else Wait(Reason.STOPPING, why)
    return step_after(world, planned, history, now)


def step_after(world: World, planned: Planned, history: Sequence[AttemptStatus], now: datetime) -> Step:
    """The step after the attempts made so far, none of which is to go on."""
    failures = failures_of(history)
    rungs = weaker(planned.ladder, failures)
    if not rungs:
        return _nothing_left(world, planned, history)
    if world.living:
        return Wait(Reason.STOPPING, f"attempt {world.living[-1].number} is stopping")
    retry = _retry_time(history)
    if retry is not None and now < retry:
        return Wait(
            Reason.BACK_OFF, f"the next attempt starts at {retry:%H:%M:%S} UTC; {history[-1].message}", retry
        )
    number = max((a.number for a in history), default=0) + 1
    if number > NUMBER_MAX:
        message = f"started {NUMBER_MAX} times; create another VideoGeneration"
        return End(Phase.FAILED, TABLE[Category.INTERRUPTED].reason, message)
    if world.settings.one_shape:
        rungs = carry(rungs, world.inventory, world.gpu_products)
    return Start(build_task(world, planned.requests, rungs, exclude(planned.ladder, failures), number))


def expire(world: World, history: Sequence[AttemptStatus], now: datetime) -> tuple[AttemptStatus, ...]:
    """The history in which an attempt that has run past `deadlines.run` has failed of it."""
    if world.spec is None:
        return tuple(history)
    limits = {a.number: run_deadline(a, world.spec.deadlines) for a in world.living}
    late = {number for number, limit in limits.items() if limit is not None and now >= limit}
    message = f"it ran longer than deadlines.run ({world.spec.deadlines.run})"
    expired = end_attempts(history, late, "Failed", message, now)
    return tuple(
        new.model_copy(update={"category": Category.DEADLINE_EXCEEDED.value}) if new is not old else old
        for old, new in zip(history, expired, strict=True)
    )


def stop_unwanted(
    world: World, history: Sequence[AttemptStatus], step: Step, now: datetime
) -> tuple[AttemptStatus, ...]:
    """The history in which living attempts are cancelled if the step is not to watch one."""
    if isinstance(step, Start):
        return tuple(history)  # none lives
    if isinstance(step, Watch):
        newest = max(a.number for a in history if _wanted(a, world))
        unwanted = {a.number for a in world.living} - {newest}
        return end_attempts(history, unwanted, "Interrupted", "a later attempt took its place", now)
    return end_attempts(history, {a.number for a in world.living}, "Cancelled", step.message, now)


def start(world: World, step: Step) -> tuple[Action, ...]:
    """The action of a step that starts an attempt."""
    if not isinstance(step, Start):
        return ()
    return (StartAttempt(job_name(world.metadata, step.task.attempt), step.task),)


def tidy(world: World, history: Sequence[AttemptStatus]) -> tuple[Action, ...]:
    """Stop every living attempt that has been given up; delete every ended one whose end is written."""
    now_known = {a.number: a.outcome for a in history}
    written = {a.number: a.outcome for a in world.status.attempts}
    finished = world.status.phase.finished
    actions: list[Action] = []
    for attempt in world.attempts:
        outcome = now_known.get(attempt.number)
        if attempt.lives and not attempt.stopping and outcome != "Running":
            reason = next(
                (a.message for a in history if a.number == attempt.number), "the resource is finished"
            )
            actions.append(StopAttempt(attempt.number, reason))
        if not attempt.lives and (finished or written.get(attempt.number) == outcome):
            actions.append(DeleteAttempt(attempt.number))
    return tuple(actions)


def requeue_after(world: World, status: Status, step: Step, now: datetime) -> float | None:
    """Seconds until the clock alone would change the decision; None if it would not."""
    if status.phase.finished:
        over = retention_end(replace(world, status=status))
        return max((over - now).total_seconds(), 0.0) if over is not None else None
    if world.spec is None or isinstance(step, End | Hold):
        return None
    times = [start_deadline(world, status.attempts, world.spec.deadlines, now)]
    times += [run_deadline(a, world.spec.deadlines) for a in world.living]
    times += [step.until] if isinstance(step, Wait) else []
    progress = status.progress
    if world.living and progress is not None and progress.updated is not None:
        times.append(stall_time(progress.updated, progress.seconds_per_step, world.settings))
    ahead = [(t - now).total_seconds() for t in times if t is not None and t > now]
    return min(ahead, default=None)


def _wanted(attempt: AttemptStatus, world: World) -> bool:
    return attempt.outcome == "Running" and any(a.number == attempt.number for a in world.living)


def _hopeless(history: Sequence[AttemptStatus], max_attempts: int) -> End | None:
    """The end, if the attempts made so far leave no hope whatever plans remain."""
    interruptions = sum(a.outcome == "Interrupted" for a in history)
    if interruptions > INTERRUPTIONS_MAX:
        message = f"interrupted {interruptions} times; the limit is {INTERRUPTIONS_MAX}"
        return End(Phase.FAILED, TABLE[Category.INTERRUPTED].reason, message)
    failures = [a for a in history if a.outcome == "Failed"]
    if not failures:
        return None
    last = failures[-1]
    row = TABLE[category_of(last)]
    story = f"attempt {last.number}: {last.message}. {last.advice or row.advice}"
    if not (row.retryable or row.other_plan):
        return End(Phase.FAILED, row.reason, story)
    if len(failures) >= max_attempts:
        return End(
            Phase.FAILED, row.reason, f"{story} All {max_attempts} attempts are used (fallback.maxAttempts)."
        )
    return None


def _nothing_left(world: World, planned: Planned, history: Sequence[AttemptStatus]) -> Step:
    failures = [a for a in history if a.outcome == "Failed" and TABLE[category_of(a)].other_plan]
    if failures:
        last = failures[-1]
        row = TABLE[category_of(last)]
        advice = f"{last.advice or row.advice} {cure(world, planned, failures_of(history))}".strip()
        message = f"no plan is left after attempt {last.number} ({last.plan}): {last.message}. {advice}"
        return End(Phase.FAILED, row.reason, message)
    message = nothing_fits(planned.ladder)
    return (
        Wait(Reason.NO_PLAN_FITS, message)
        if world.settings.inventory_may_grow
        else End(Phase.FAILED, Reason.NO_PLAN_FITS, message)
    )


def _retry_time(history: Sequence[AttemptStatus]) -> datetime | None:
    """When the next attempt may start after a failure that time may mend, or after refusals by nodes."""
    refusals = len(list(takewhile(_never_ran, reversed(history))))
    if refusals > 1 and history[-1].finished is not None:
        return history[-1].finished + back_off(refusals - 1)
    failures = [a for a in history if a.outcome == "Failed"]
    if not failures or failures[-1].finished is None or not TABLE[category_of(failures[-1])].retryable:
        return None
    retries = sum(TABLE[category_of(a)].retryable for a in failures)
    return failures[-1].finished + back_off(retries)


def _never_ran(attempt: AttemptStatus) -> bool:
    """Interrupted before its container ran: at once the next one may meet the same."""
    return attempt.outcome == "Interrupted" and attempt.started is None


def _late_start(world: World, planned: Planned, history: Sequence[AttemptStatus]) -> str:
    """Why no attempt ran in time: what the living one waits for, or what the last one or the plan says."""
    assert world.spec is not None  # it has the deadline
    if history and not world.living:
        return history[-1].message
    waits = [": ".join(a.waiting) for a in world.living if a.waiting is not None]
    reason = waits[-1] if waits else "" if world.living else nothing_fits(planned.ladder)
    return "; ".join(
        t for t in (f"no attempt ran within deadlines.start ({world.spec.deadlines.start})", reason) if t
    )
