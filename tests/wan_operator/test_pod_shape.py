"""Which rungs ride on one Job, and how a chain of shapes that cannot bind comes to its end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wan_operator.worlds import NOW, ended, past, result_of, world_of, written
from wan_core.api.status import Verdict
from wan_core.errors import TABLE, Category
from wan_core.plan.inventory import Gpu, Inventory, Node
from wan_core.plan.places import find_places, fits_empty, fits_now
from wan_core.plan.pods import host_class
from wan_core.plan.rungs import Rung
from wan_core.task import Task
from wan_operator.decide import decide
from wan_operator.planning import Planned, plan_request
from wan_operator.pod_shape import carry
from wan_operator.world import AttemptState, Observed, StartAttempt, World

H200 = Gpu(product="NVIDIA-H200", memory_gib=140)
L40S = Gpu(product="NVIDIA-L40S", memory_gib=45)
L4 = Gpu(product="NVIDIA-L4", memory_gib=22)
A14B = {"model": "t2v-A14B"}


def node(name: str, gpu: Gpu | None, host: float, *, free: float | None = None, busy: bool = False) -> Node:
    gpus = () if gpu is None else (gpu.model_copy(update={"free_gib": 0.0}) if busy else gpu,)
    return Node(name=name, gpus=gpus, host_memory_gib=host, host_free_gib=free)


def rungs_of(*nodes: Node, **spec: object) -> tuple[tuple[Rung, ...], Inventory]:
    inventory = Inventory(nodes=nodes)
    planned = plan_request(world_of(inventory=inventory, **spec))
    assert isinstance(planned, Planned)
    return planned.ladder.runnable, inventory


def placements(rungs: tuple[Rung, ...]) -> set[str]:
    return {rung.plan.techniques[1] for rung in rungs}


def test_rungs_of_the_leaders_class_ride_along() -> None:
    rungs, inventory = rungs_of(node("a", H200, 512), **A14B)
    carried = carry(rungs, inventory)
    assert carried[0] is rungs[0]
    assert placements(carried) == {"resident"}
    assert all(rung.memory.host_gib <= host_class(carried[0]) for rung in carried)
    assert placements(rungs) > {"resident"}


def test_what_fits_now_leads_and_the_better_ones_ride_along() -> None:
    rungs, inventory = rungs_of(node("a", H200, 512, busy=True), node("b", L4, 512), **A14B)
    carried = carry(rungs, inventory)
    leader = next(rung for rung in rungs if rung.verdict is Verdict.FITS_NOW)
    assert leader in carried
    assert leader.memory.host_gib > 32
    assert placements(carried) >= {"resident"}


def test_nothing_rides_along_that_keeps_the_leader_off_its_node() -> None:
    roomy, tight = (
        rungs_of(node("a", L40S, host), node("b", L4, 512, busy=True), **A14B) for host in (512, 73)
    )
    assert placements(roomy[0]) == placements(tight[0]) == {"component-offload", "block-streaming"}
    assert placements(carry(*roomy)) == {"component-offload", "block-streaming"}
    assert placements(carry(*tight)) == {"component-offload"}


def test_a_worse_tier_waits_until_the_better_one_was_tried() -> None:
    rungs, inventory = rungs_of(node("a", H200, 512), **A14B)
    assert {rung.tier.value for rung in rungs} == {"lossless", "near"}
    assert {rung.tier.value for rung in carry(rungs, inventory)} == {"lossless"}


def test_a_plan_on_the_cpu_does_not_ride_with_one_on_a_gpu() -> None:
    rungs, inventory = rungs_of(node("a", H200, 64), model="wan-tiny", quality="lossless")
    assert {rung.plan.device for rung in rungs} == {"cuda", "cpu"}
    assert {rung.plan.device for rung in carry(rungs, inventory)} == {"cuda"}


def test_where_only_the_cpu_is_free_the_plan_on_the_cpu_leads() -> None:
    rungs, inventory = rungs_of(node("a", H200, 64, busy=True), model="wan-tiny", quality="lossless")
    assert {rung.plan.device for rung in carry(rungs, inventory)} == {"cpu"}


def test_another_model_is_another_shape() -> None:
    rungs, inventory = rungs_of(node("a", H200, 512), **A14B, fallback={"models": ["t2v-1.3B"]})
    assert {rung.plan.model for rung in carry(rungs, inventory)} == {"t2v-A14B"}


def fits_somewhere(carried: tuple[Rung, ...], inventory: Inventory) -> bool:
    """Whether the pod of these rungs has a place: one whose host memory suffices for all of them."""
    most = max(rung.memory.host_gib for rung in carried)
    now = any(rung.verdict is Verdict.FITS_NOW for rung in carried)
    return any(
        most <= (place.host_free_gib if now else place.host_total_gib)
        and any((fits_now if now else fits_empty)(rung.memory, place) for rung in carried)
        for place in find_places(inventory)
        if place.kind == carried[0].plan.device
    )


nodes = st.builds(
    node,
    st.sampled_from("abcd"),
    st.sampled_from([None, H200, L4, L40S]),
    st.sampled_from([4.0, 12.0, 30.0, 65.0, 100.0, 130.0, 512.0]),
    busy=st.booleans(),
)
models = st.sampled_from(["t2v-A14B", "t2v-1.3B", "wan-tiny"])


@given(st.lists(nodes, min_size=1, max_size=4), models, st.sets(st.integers(0, 11), max_size=6))
def test_whatever_is_carried_its_pod_fits_where_the_leader_fits(
    found: list[Node], model: str, gone: set[int]
) -> None:
    rungs, inventory = rungs_of(*found, model=model)
    rungs = tuple(rung for index, rung in enumerate(rungs) if index not in gone)
    if not rungs:
        return
    carried = carry(rungs, inventory)
    assert set(carried) <= set(rungs)
    assert carried == tuple(rung for rung in rungs if rung in carried)
    assert len({(rung.plan.model, rung.plan.device) for rung in carried}) == 1
    assert fits_somewhere(carried, inventory)


@given(st.lists(nodes, min_size=1, max_size=3), models)
@settings(max_examples=30)
def test_the_ladder_numbers_the_jobs_in_the_order_in_which_they_are_made(
    found: list[Node], model: str
) -> None:
    rungs, inventory = rungs_of(*found, model=model)
    left = rungs
    for job in range(1, len(rungs) + 1):
        if not left:
            break
        carried = carry(left, inventory)
        assert {rung.job for rung in carried} == {job}
        left = tuple(rung for rung in left if rung not in carried)
    assert not left


CLUSTER = {"one_shape": True}
WIDE = Inventory(nodes=(node("a", H200, 512), node("b", L4, 512)))


def started(world: World) -> Task:
    (action,) = (a for a in decide(world, NOW).actions if isinstance(a, StartAttempt))
    return action.task


def observed(task: Task) -> Observed:
    plans = tuple(rung.plan.label for rung in task.rungs)
    return Observed(task.attempt, f"job-{task.attempt}", AttemptState.PENDING, plans, task.digest())


def test_after_a_shape_that_cannot_bind_the_next_shape_comes() -> None:
    world = world_of(inventory=Inventory(nodes=(node("a", H200, 512),)), settings=CLUSTER, **A14B)
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
    rungs, _ = rungs_of(*WIDE.nodes, **A14B)
    assert [rung.plan for rung in started(world).rungs] == [rung.plan for rung in rungs]


fates = st.tuples(
    st.sampled_from([c for c, row in TABLE.items() if row.other_plan]),
    st.sampled_from(["NVIDIA H200", "NVIDIA L4", "another card", None]),
    st.sampled_from(["unbound", "first", "last", "silent"]),
)


@given(st.lists(fates, min_size=64, max_size=64), models)
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
