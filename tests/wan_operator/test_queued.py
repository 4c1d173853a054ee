"""An attempt that waits gives way to one made now: if another plan has room, or other settings hold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.wan_operator.cases import UNSCHEDULABLE
from tests.wan_operator.worlds import NOW, past, runs, waits, words, world_of, written
from wan_core.api.status import Phase
from wan_core.errors import Category
from wan_core.plan.inventory import Gpu, Inventory, Node
from wan_operator.decide import decide
from wan_operator.ladders import _build
from wan_operator.world import AttemptState, Observed, StartAttempt, World

A14B = {"model": "t2v-A14B", "prompt": "a corgi", "quality": "lossless"}
CLUSTER = {"one_shape": True}
H200 = Gpu(product="NVIDIA-H200", memory_gib=140, free_gib=140, compute_capability=(9, 0))
L40S = Gpu(product="NVIDIA-L40S", memory_gib=45, free_gib=45, compute_capability=(8, 9))
RESIDENT, OFFLOAD = "t2v-A14B/cuda/bf16+resident", "t2v-A14B/cuda/bf16+component-offload"
STREAMING = "t2v-A14B/cuda/bf16+block-streaming"


def nodes(*gpus: Gpu) -> Inventory:
    return Inventory(
        nodes=tuple(
            Node(name=f"node-{i}", gpus=(gpu,), host_memory_gib=512, host_free_gib=512)
            for i, gpu in enumerate(gpus)
        )
    )


def busy(gpu: Gpu) -> Gpu:
    return gpu.model_copy(update={"free_gib": 0.0})


def queued(free: Inventory | None, *plans: str, **more: object) -> World:
    """An attempt with these plans that no node has room for; what is free is looked at, or not."""
    attempt = replace(waits(why=UNSCHEDULABLE), plans=plans)
    world = world_of(attempt, inventory=nodes(H200, L40S), settings=CLUSTER, **A14B)
    return replace(world, **({"status": written(past(1, "Running")), "free": free} | more))


def test_it_gives_way_to_a_plan_that_fits_now_uncharged() -> None:
    world = queued(nodes(busy(H200), L40S), RESIDENT)
    stopping = decide(world, NOW)
    assert words(stopping) == ["stop 1"]
    assert stopping.status.phase is Phase.QUEUED
    (attempt,) = stopping.status.attempts
    assert (attempt.outcome, attempt.category) == ("Cancelled", None)
    assert attempt.message == f"{OFFLOAD} fits now, none of its own plans does"
    after = replace(world, status=stopping.status, attempts=(), free=None, inventory=nodes(busy(H200), L40S))
    (action,) = decide(after, NOW).actions
    assert isinstance(action, StartAttempt)
    assert action.task.attempt == 2
    assert OFFLOAD in [rung.plan.label for rung in action.task.rungs]


STAYS = [
    pytest.param(queued(None, RESIDENT), id="nobody looked at what is free"),
    pytest.param(queued(nodes(H200, L40S), RESIDENT), id="its own plan has room now"),
    pytest.param(queued(nodes(busy(H200), busy(L40S)), RESIDENT), id="nothing has room"),
    pytest.param(queued(nodes(busy(H200), L40S), OFFLOAD, RESIDENT), id="it may take what is free"),
    pytest.param(
        queued(nodes(busy(H200), L40S), RESIDENT, attempts=(replace(waits(node="a"), plans=(RESIDENT,)),)),
        id="a node has it",
    ),
    pytest.param(
        queued(nodes(busy(H200), L40S), RESIDENT, attempts=(replace(waits(), state=AttemptState.RUNNING),)),
        id="it runs",
    ),
    pytest.param(queued(Inventory(), RESIDENT), id="every node is gone"),
]


@pytest.mark.parametrize("world", STAYS)
def test_it_stays_where(world: World) -> None:
    assert decide(world, NOW).actions == ()


def test_while_nothing_is_freed_no_ladder_is_built_whatever_comes_and_goes() -> None:
    world = queued(nodes(busy(H200), busy(L40S)), RESIDENT)
    decide(world, NOW)
    built = _build.cache_info().misses
    for used_gib in range(1, 20):
        here = nodes(busy(H200), busy(L40S)).nodes
        free = [node.model_copy(update={"host_free_gib": 512.0 - used_gib}) for node in here]
        assert decide(replace(world, free=Inventory(nodes=tuple(free))), NOW).actions == ()
    assert _build.cache_info().misses == built


def test_a_plan_that_failed_there_is_no_reason_to_give_way() -> None:
    failed = past(1, "Failed", Category.CUDA_OUT_OF_MEMORY, plan=STREAMING, gpu="NVIDIA L40S")
    attempt = replace(waits(2, why=UNSCHEDULABLE), plans=(RESIDENT,))
    world = queued(nodes(busy(H200), L40S), attempts=(attempt,), status=written(failed, past(2, "Running")))
    assert decide(world, NOW).actions == ()


def test_what_gives_way_once_does_not_go_back_and_forth() -> None:
    """What comes after it may run on either, so that neither being free is a reason."""
    first = queued(nodes(busy(H200), L40S), RESIDENT)
    given_up = decide(first, NOW).status
    start = replace(first, status=given_up, attempts=(), free=None, inventory=nodes(busy(H200), L40S))
    (action,) = decide(start, NOW).actions
    assert isinstance(action, StartAttempt)
    plans = tuple(rung.plan.label for rung in action.task.rungs)
    second = Observed(2, "job-2", AttemptState.PENDING, plans, action.task.digest(), waiting=UNSCHEDULABLE)
    for free in (nodes(H200, busy(L40S)), nodes(busy(H200), L40S), nodes(H200, L40S)):
        world = replace(
            start,
            status=decide(start, NOW).status,
            attempts=(second,),
            inventory=nodes(H200, L40S),
            free=free,
        )
        assert decide(world, NOW).actions == ()


NO_IMAGE = ("ImagePullBackOff", 'Back-off pulling image "runner:1"')


def test_what_waits_in_trouble_is_made_anew_under_new_settings() -> None:
    attempt = waits(node="a", why=NO_IMAGE, outdated=True)
    decision = decide(queued(None, attempts=(attempt,)), NOW)
    assert words(decision) == ["stop 1"]
    (told,) = decision.status.attempts
    assert (told.outcome, told.category) == ("Cancelled", None)
    assert told.message == "the operator's settings have changed; it waited with ImagePullBackOff"


@pytest.mark.parametrize(
    "attempt",
    [
        pytest.param(waits(node="a", why=NO_IMAGE), id="its settings are today's"),
        pytest.param(waits(node="a", outdated=True), id="it has no trouble"),
        pytest.param(waits(node="a", why=("ContainerCreating", ""), outdated=True), id="it is on its way"),
        pytest.param(waits(node="a", why=NO_IMAGE, outdated=True, stopping=True), id="it stops already"),
        pytest.param(runs(outdated=True), id="it runs"),
    ],
)
def test_new_settings_change_nothing_if(attempt: Observed) -> None:
    assert decide(queued(None, attempts=(attempt,)), NOW).actions == ()
