"""How a chain of shapes that cannot bind comes to its end. Which rungs ride on one Job: `plan.pods`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wan_operator.worlds import NOW, ended, past, result_of, rungs_of, world_of, written
from wan_core.errors import TABLE, Category
from wan_core.plan.inventory import Gpu, Inventory, Node
from wan_core.plan.rungs import Rung
from wan_core.task import Task
from wan_operator.decide import decide
from wan_operator.world import AttemptState, Observed, StartAttempt, World

H200 = Gpu(product="NVIDIA-H200", memory_gib=140)
L4 = Gpu(product="NVIDIA-L4", memory_gib=22)
A14B = {"model": "t2v-A14B"}


def node(name: str, gpu: Gpu) -> Node:
    return Node(name=name, gpus=(gpu,), host_memory_gib=512)


def placements(rungs: tuple[Rung, ...]) -> set[str]:
    return {rung.plan.techniques[1] for rung in rungs}


CLUSTER = {"one_shape": True}
WIDE = Inventory(nodes=(node("a", H200), node("b", L4)))


def started(world: World) -> Task:
    (action,) = (a for a in decide(world, NOW).actions if isinstance(a, StartAttempt))
    return action.task


def observed(task: Task) -> Observed:
    plans = tuple(rung.plan.label for rung in task.rungs)
    return Observed(task.attempt, f"job-{task.attempt}", AttemptState.PENDING, plans, task.digest())


def test_after_a_shape_that_cannot_bind_the_next_shape_comes() -> None:
    world = world_of(inventory=Inventory(nodes=(node("a", H200),)), settings=CLUSTER, **A14B)
    first = started(world)
    result = result_of(
        1, Category.CUDA_OUT_OF_MEMORY, plan=None, device="NVIDIA H200", task_digest=first.digest()
    )
    over = replace(observed(first), state=AttemptState.ENDED, exit_code=71, finished=NOW, result=result)
    second = started(replace(world, attempts=(over,)))
    assert placements(first.rungs) == {"resident"}
    assert not {r.plan.label for r in first.rungs} & {r.plan.label for r in second.rungs}


def test_locally_an_attempt_carries_all_that_is_open() -> None:
    world = world_of(inventory=WIDE, **A14B)
    rungs = rungs_of(world)
    assert [rung.plan for rung in started(world).rungs] == [rung.plan for rung in rungs]


fates = st.tuples(
    st.sampled_from([c for c, row in TABLE.items() if row.other_plan]),
    st.sampled_from(["NVIDIA H200", "NVIDIA L4", "another card", None]),
    st.sampled_from(["unbound", "first", "last", "silent"]),
)


@given(st.lists(fates, min_size=64, max_size=64), st.sampled_from(["t2v-A14B", "t2v-1.3B", "wan-tiny"]))
@settings(max_examples=20)
def test_a_chain_of_failures_ends_and_repeats_nothing(
    script: list[tuple[Category, str | None, str]], model: str
) -> None:
    world = world_of(inventory=WIDE, settings=CLUSTER, model=model, fallback={"maxAttempts": 16})
    failed: set[tuple[str, str | None]] = set()
    now = NOW
    for category, device, fate in script:
        decision = decide(world, now)
        world = replace(world, status=decision.status, attempts=())
        if decision.status.phase.finished:
            break
        (action,) = (a for a in decision.actions if isinstance(a, StartAttempt))
        task = action.task
        open_pairs = {(r.plan.label, p) for r in task.rungs for p in r.products or (None,)}
        excluded = {(e.plan, e.product) for e in task.excluded}
        assert all((plan, None) not in excluded for plan, _ in open_pairs)
        assert not failed & (open_pairs - excluded)
        plan = {"unbound": None, "first": task.rungs[0], "last": task.rungs[-1], "silent": None}[fate]
        result = result_of(
            task.attempt,
            category,
            plan=plan.plan.label if plan is not None else None,
            device=device,
            task_digest=task.digest(),
        )
        failed |= {(r.plan.label, None) for r in task.rungs if fate == "unbound" and device is None}
        world = replace(
            world,
            attempts=(
                replace(
                    observed(task),
                    state=AttemptState.ENDED,
                    exit_code=TABLE[category].exit_code,
                    finished=now,
                    started=now,
                    result=None if fate == "silent" else result,
                ),
            ),
        )
        now += timedelta(seconds=1)
    assert world.status.phase.finished


@pytest.mark.parametrize("bound", [None, "first"])
def test_an_attempt_that_bound_a_plan_speaks_for_that_plan_alone(bound: str | None) -> None:
    world = world_of(inventory=WIDE, settings=CLUSTER)
    task = started(world)
    plan = task.rungs[0].plan.label if bound else None
    result = result_of(1, Category.INCOMPATIBLE_HARDWARE, plan=plan, device=None, task_digest=task.digest())
    over = replace(observed(task), state=AttemptState.ENDED, exit_code=74, finished=NOW, result=result)
    (told,) = decide(replace(world, attempts=(over,)), NOW).status.attempts
    assert len(told.refused) == (0 if bound else len(task.rungs))
    assert told.plan == task.rungs[0].plan.label


def test_refusals_by_nodes_are_not_repeated_at_once() -> None:
    first = past(1, "Interrupted", Category.INTERRUPTED, started=None, finished=NOW)
    again = ended(2, None, verdict=Category.INTERRUPTED, story="OutOfcpu: no")
    world = world_of(replace(again, started=None), status=written(first), settings=CLUSTER)
    decision = decide(world, NOW)
    assert decision.status.reason == "BackOff"
    assert "OutOfcpu: no" in decision.status.message
    assert decision.requeue_after_s == 5.0
