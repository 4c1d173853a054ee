"""The laws of `decide`, over lives of resources in which anything may happen at any moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.wan_operator.worlds import BEST, DIGEST, H100, NOW, reports, result_of, world_of
from wan_core.api.status import Phase, Status
from wan_core.errors import TABLE, Category
from wan_core.task import Progress, Result, Stage
from wan_operator.decide import INTERRUPTIONS_MAX, decide
from wan_operator.local import EXIT_CODES_OF_REASONS
from wan_operator.world import (
    AttemptState,
    Decision,
    DeleteAttempt,
    Observed,
    StartAttempt,
    StopAttempt,
    World,
)

EXITS = [row.exit_code for row in TABLE.values()] + [0, 1, 42, 137, 143]
MOST_ROUNDS = 400  # 37 attempts of at most five rounds each, and what suspensions add

exits = st.sampled_from([*EXITS, None])
events = st.one_of(
    st.tuples(st.just("end"), exits),
    st.tuples(st.sampled_from(["run", "report", "vanish", "drain", "oom", "suspend", "resume"]), st.none()),
)


def act(world: World, decision: Decision) -> World:
    """The world after the actions were carried out and the status was written."""
    attempts = {a.number: a for a in world.attempts}
    for action in decision.actions:
        if isinstance(action, StartAttempt):
            number = action.task.attempt
            new = Observed(number, action.job, AttemptState.PENDING, (BEST,), DIGEST)
            attempts.setdefault(number, new)
        elif isinstance(action, StopAttempt):
            attempts[action.number] = replace(attempts[action.number], stopping=True)
        else:
            del attempts[action.number]
    return replace(world, attempts=tuple(attempts[n] for n in sorted(attempts)), status=decision.status)


def happen(world: World, what: str, code: int | None, now: datetime) -> World:
    """The world after one event; nothing, where there is nothing that it could happen to."""
    if what in ("suspend", "resume") and world.spec is not None:
        return replace(world, spec=world.spec.model_copy(update={"suspend": what == "suspend"}))
    if not world.living:
        return world
    attempt, rest = world.living[-1], tuple(a for a in world.attempts if a is not world.living[-1])
    if what == "vanish":
        return replace(world, attempts=rest)
    if what == "report":
        return replace(world, progress=reports(Stage.DENOISING, attempt.number, done=1, total=20))
    return replace(world, attempts=(*rest, change(attempt, what, code, now)))


def change(attempt: Observed, what: str, code: int | None, now: datetime) -> Observed:
    """The attempt after something happened to it."""
    if what == "run":
        return replace(attempt, state=AttemptState.RUNNING, started=now, node="a")
    over = replace(attempt, state=AttemptState.ENDED, finished=now)
    if what == "drain":
        return replace(over, exit_code=143, verdict=Category.INTERRUPTED)
    if what == "oom":
        return replace(over, exit_code=137, oom_killed=True)
    if code == 0:
        return replace(over, exit_code=0, result=result_of(attempt.number))
    named = next((c for c, row in TABLE.items() if row.exit_code == code), None)
    result = result_of(attempt.number, named, plan=attempt.plan, device=H100) if named is not None else None
    return replace(over, exit_code=code, result=result)


def numbers_started(decision: Decision) -> list[int]:
    return [a.task.attempt for a in decision.actions if isinstance(a, StartAttempt)]


def check_laws(world: World, decision: Decision, now: datetime) -> None:
    """What holds for every decision about every world."""
    assert Status.model_validate(decision.status.to_dict()) == decision.status
    if world.status.phase.finished:
        assert decision.status == world.status
        assert not numbers_started(decision)
    if world.living:
        assert not numbers_started(decision)
    if decision.status.phase.finished:
        assert not world.living or world.status.phase.finished
    if decision.status.phase is Phase.FAILED:
        assert decision.status.reason in EXIT_CODES_OF_REASONS
    if decision.requeue_after_s is not None:
        assert decision.requeue_after_s > 0
    again = decide(replace(world, status=decision.status), now)
    assert again.status == decision.status
    soon = timedelta(seconds=0.9 * (decision.requeue_after_s or 3600))
    assert decide(replace(world, status=decision.status), now + soon).status == decision.status
    known = {a.number for a in world.status.attempts} | {a.number for a in world.attempts}
    assert all(n not in known for n in numbers_started(decision))
    for action in decision.actions:
        if isinstance(action, DeleteAttempt):
            assert all(not a.lives for a in world.attempts if a.number == action.number)


@given(
    story=st.lists(events, max_size=40),
    max_attempts=st.integers(1, 16),
    deadlines=st.sampled_from([{}, {"start": "1m"}, {"run": "10m", "start": "2h"}]),
)
@example(story=[("report", None), ("run", None)], max_attempts=1, deadlines={"run": "10m", "start": "2h"})
@settings(max_examples=50, deadline=None)
def test_every_life_keeps_the_laws_and_ends(
    story: list[tuple[str, int | None]], max_attempts: int, deadlines: dict[str, str]
) -> None:
    now = NOW
    world = world_of(fallback={"maxAttempts": max_attempts}, deadlines=deadlines)
    for what, code in [*story, ("resume", None), *[("end", 75)] * MOST_ROUNDS]:
        decision = decide(world, now)
        check_laws(world, decision, now)
        world = happen(act(world, decision), what, code, now)
        now += timedelta(seconds=decision.requeue_after_s or 1)
        if world.status.phase.finished and not world.attempts:
            break
    assert world.status.phase.finished
    charged = sum(a.outcome == "Failed" for a in world.status.attempts)
    assert charged <= max_attempts
    assert world.status.interruptions <= INTERRUPTIONS_MAX + 1


@given(codes=st.lists(exits, min_size=60, max_size=60))
@settings(max_examples=40, deadline=None)
def test_whatever_the_exit_codes_it_ends_within_the_attempts_allowed(codes: list[int | None]) -> None:
    now, world, made = NOW, world_of(fallback={"maxAttempts": 16}), 0
    script = iter(codes)
    while not (world.status.phase.finished and not world.attempts):
        decision = decide(world, now)
        made += len(numbers_started(decision))
        world = act(world, decision)
        now += timedelta(seconds=decision.requeue_after_s or 1)
        if world.living:
            world = happen(happen(world, "run", None, now), "end", next(script), now)
    assert made <= 16 + 21


@pytest.mark.parametrize("category", [c for c, row in TABLE.items() if row.other_plan])
def test_no_plan_is_tried_again_after_it_failed_for_what_it_is(category: Category) -> None:
    now, world, tried = NOW, world_of(fallback={"maxAttempts": 16}), []
    while not world.status.phase.finished:
        decision = decide(world, now)
        tried += [a.task.rungs[0].plan.label for a in decision.actions if isinstance(a, StartAttempt)]
        world = act(world, decision)
        if world.living:
            started = replace(world.living[-1], plans=(tried[-1],))
            world = replace(world, attempts=(started,))
            world = happen(world, "end", TABLE[category].exit_code, now)
    assert len(set(tried)) == len(tried)
    assert world.status.reason == TABLE[category].reason
    assert "no plan is left" in world.status.message


words = st.text(max_size=253)
seconds = st.floats(0, 1e9)
counts = st.integers(0, 2**53 - 1)
progresses = st.builds(
    lambda **fields: Progress(**fields),
    uid=words,
    attempt=st.just(1),
    stage=st.sampled_from(Stage),
    done=counts,
    total=counts,
    seconds_per_step=st.none() | seconds,
    eta_seconds=st.none() | seconds,
    plan=st.none() | words,
    device=st.none() | words,
    refused=st.lists(st.text(max_size=2000), max_size=20).map(tuple),
    time=st.just(NOW),
)
results = st.builds(
    lambda **fields: Result(**fields),  # its signature has the JSON names
    uid=words,
    attempt=st.just(1),
    task_digest=st.just(DIGEST),
    category=st.none() | st.sampled_from(Category),
    message=st.text(max_size=6000),
    advice=st.text(max_size=6000),
    plan=st.none() | words,
    device=st.none() | words,
    refused=st.lists(st.text(max_size=2000), max_size=20).map(tuple),
    bytes_loaded=st.none() | counts,
    peak_device_gib=st.none() | st.floats(0, 1e12),
    seconds_per_step=st.none() | seconds,
)


@given(progresses)
def test_whatever_a_runner_reports_becomes_a_valid_status(progress: Progress) -> None:
    running = Observed(1, "j", AttemptState.RUNNING, (BEST,), DIGEST, node="a", started=NOW)
    status = decide(world_of(running, progress=progress), NOW).status
    assert Status.model_validate(status.to_dict()) == status


@given(results, st.sampled_from([0, 1, *EXITS]))
def test_however_a_runner_ends_the_status_is_valid(result: Result, code: int) -> None:
    ended = Observed(1, "j", AttemptState.ENDED, (BEST,), DIGEST, finished=NOW, exit_code=code, result=result)
    status = decide(world_of(ended), NOW).status
    assert Status.model_validate(status.to_dict()) == status


@given(st.text(min_size=1, max_size=3000), st.text(max_size=9000))
def test_whatever_a_pod_waits_for_becomes_a_valid_status(reason: str, message: str) -> None:
    pending = Observed(1, "j", AttemptState.PENDING, (BEST,), DIGEST, waiting=(reason, message))
    status = decide(world_of(pending), NOW).status
    assert Status.model_validate(status.to_dict()) == status
