"""Which rungs ride on one Job, and in which order Jobs are made."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wan_core.plan.draws import inventories, requests
from tests.wan_core.plan.worlds import request_of
from wan_core.api.status import Verdict
from wan_core.plan.inventory import Gpu, Inventory, Node
from wan_core.plan.ladder import build_ladder
from wan_core.plan.places import Place, find_places, fits_empty, fits_now
from wan_core.plan.pods import SMALLEST_CLASS_GIB, carry, host_class
from wan_core.plan.request import Request
from wan_core.plan.rungs import Rung

H200 = Gpu(product="NVIDIA-H200", memory_gib=140)
L40S = Gpu(product="NVIDIA-L40S", memory_gib=45)
L4 = Gpu(product="NVIDIA-L4", memory_gib=22)


def node(name: str, gpu: Gpu | None, host: float, *, busy: bool = False) -> Node:
    gpus = () if gpu is None else (gpu.model_copy(update={"free_gib": 0.0}) if busy else gpu,)
    return Node(name=name, gpus=gpus, host_memory_gib=host)


def rungs_of(
    *nodes: Node, model: str = "t2v-A14B", also: tuple[str, ...] = (), **spec: Any
) -> tuple[tuple[Rung, ...], tuple[Place, ...]]:
    inventory = Inventory(nodes=nodes)
    asked = [request_of(name, **({"quality": "near"} | spec)) for name in (model, *also)]
    return build_ladder(asked, inventory).runnable, find_places(inventory)


def placements(rungs: tuple[Rung, ...]) -> set[str]:
    return {rung.plan.techniques[1] for rung in rungs}


def test_rungs_of_the_leaders_class_ride_along() -> None:
    rungs, places = rungs_of(node("a", H200, 512))
    carried = carry(rungs, places)
    assert carried[0] is rungs[0]
    assert placements(carried) == {"resident"}
    assert all(rung.memory.host_gib <= host_class(carried[0]) for rung in carried)
    assert placements(rungs) > {"resident"}


def test_what_fits_now_leads_and_the_better_ones_ride_along() -> None:
    rungs, places = rungs_of(node("a", H200, 512, busy=True), node("b", L4, 512))
    carried = carry(rungs, places)
    leader = next(rung for rung in rungs if rung.verdict is Verdict.FITS_NOW)
    assert leader in carried
    assert leader.memory.host_gib > 32
    assert placements(carried) >= {"resident"}


def test_nothing_rides_along_that_keeps_the_leader_off_its_node() -> None:
    roomy, tight = (rungs_of(node("a", L40S, host), node("b", L4, 512, busy=True)) for host in (512, 73))
    assert placements(roomy[0]) == placements(tight[0]) == {"component-offload", "block-streaming"}
    assert placements(carry(*roomy)) == {"component-offload", "block-streaming"}
    assert placements(carry(*tight)) == {"component-offload"}


def test_a_worse_tier_waits_until_the_better_one_was_tried() -> None:
    rungs, places = rungs_of(node("a", H200, 512))
    assert {rung.tier.value for rung in rungs} == {"lossless", "near"}
    assert {rung.tier.value for rung in carry(rungs, places)} == {"lossless"}


def test_a_plan_on_the_cpu_does_not_ride_with_one_on_a_gpu() -> None:
    rungs, places = rungs_of(node("a", H200, 64), model="wan-tiny", quality="lossless")
    assert {rung.plan.device for rung in rungs} == {"cuda", "cpu"}
    assert {rung.plan.device for rung in carry(rungs, places)} == {"cuda"}


def test_where_only_the_cpu_is_free_the_plan_on_the_cpu_leads() -> None:
    rungs, places = rungs_of(node("a", H200, 64, busy=True), model="wan-tiny", quality="lossless")
    assert {rung.plan.device for rung in carry(rungs, places)} == {"cpu"}


def test_a_class_is_the_next_power_of_two_and_none_is_below_the_smallest() -> None:
    rungs, _ = rungs_of(node("a", H200, 512))
    for rung in rungs:
        size, need = host_class(rung), rung.memory.host_gib
        assert need <= size
        assert size == SMALLEST_CLASS_GIB or size < 2 * need
    assert {host_class(rung) for rung in rungs} >= {SMALLEST_CLASS_GIB, 128}


def test_another_model_is_another_shape() -> None:
    rungs, places = rungs_of(node("a", H200, 512), also=("t2v-1.3B",))
    assert {rung.plan.model for rung in carry(rungs, places)} == {"t2v-A14B"}


def fits_somewhere(carried: tuple[Rung, ...], places: tuple[Place, ...]) -> bool:
    """Whether the pod of these rungs has a place: one whose host memory suffices for all of them."""
    most = max(rung.memory.host_gib for rung in carried)
    now = any(rung.verdict is Verdict.FITS_NOW for rung in carried)
    return any(
        most <= (place.host_free_gib if now else place.host_total_gib)
        and any((fits_now if now else fits_empty)(rung.memory, place) for rung in carried)
        for place in places
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
@settings(max_examples=50, deadline=None)
def test_whatever_is_carried_its_pod_fits_where_the_leader_fits(
    found: list[Node], model: str, gone: set[int]
) -> None:
    rungs, places = rungs_of(*found, model=model)
    rungs = tuple(rung for index, rung in enumerate(rungs) if index not in gone)
    if not rungs:
        return
    carried = carry(rungs, places)
    assert set(carried) <= set(rungs)
    assert carried == tuple(rung for rung in rungs if rung in carried)
    assert len({(rung.plan.model, rung.plan.device) for rung in carried}) == 1
    assert fits_somewhere(carried, places)


@given(st.lists(requests(), min_size=1, max_size=2, unique_by=lambda r: r.model), inventories)
@settings(max_examples=20, deadline=None)
def test_the_ladder_numbers_the_jobs_in_the_order_in_which_they_are_made(
    asked: list[Request], inventory: Inventory
) -> None:
    ladder, places = build_ladder(asked, inventory), find_places(inventory)
    assert all((rung.job is None) == (rung.verdict is Verdict.NEVER) for rung in ladder.rungs)
    rungs = left = ladder.runnable
    for job in range(1, len(rungs) + 1):
        if not left:
            break
        carried = carry(left, places)
        assert {rung.job for rung in carried} == {job}
        assert len({(rung.plan.model, rung.plan.device, rung.tier) for rung in carried}) == 1
        left = tuple(rung for rung in left if rung not in carried)
    assert not left
