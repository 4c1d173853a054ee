"""What holds for every request and every inventory."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wan_core.plan.worlds import request_of
from wan_core.api.status import Verdict
from wan_core.catalog.gpus import GPUS
from wan_core.catalog.models import MODELS
from wan_core.errors import TABLE, Category
from wan_core.plan.choose import Failure, bind, exclude, weaker
from wan_core.plan.inventory import Device, Gpu, Inventory, Node
from wan_core.plan.ladder import RUNGS_MAX, Ladder, Rung, build_ladder, list_plans
from wan_core.plan.memory import estimate_memory
from wan_core.plan.request import Request

RUNNABLE = [card for card in MODELS.values() if not card.cannot_run]
OTHER_PLAN = [category for category in Category if TABLE[category].other_plan]
GIB = st.floats(0.5, 200, allow_nan=False)


@st.composite
def requests(draw: st.DrawFn, ids: tuple[str, ...] = tuple(c.id for c in RUNNABLE)) -> Request:
    card = MODELS[draw(st.sampled_from(ids))]
    sides = card.defaults.width, card.defaults.height
    width, height = draw(st.sampled_from([sides, sides[::-1], (card.stride * 4, card.stride * 2)]))
    frames = 1 + 4 * draw(st.integers(0, (card.max_frames - 1) // 4))
    quality = draw(st.sampled_from(["lossless", "near"]))
    return request_of(card.id, resolution=f"{width}x{height}", frames=frames, quality=quality)


@st.composite
def gpus(draw: st.DrawFn) -> Gpu:
    total = draw(GIB)
    free = draw(st.none() | st.floats(0, 1))
    product = draw(st.sampled_from(["new-card", "NVIDIA-H200", "NVIDIA-L4", "NVIDIA-GeForce-RTX-4090"]))
    return Gpu(product=product, memory_gib=total, free_gib=None if free is None else free * total)


@st.composite
def nodes(draw: st.DrawFn) -> Node:
    cards = tuple(draw(st.lists(gpus(), max_size=2)))
    return Node(name=draw(st.sampled_from("abc")), gpus=cards, host_memory_gib=draw(GIB))


inventories = st.builds(lambda found: Inventory(nodes=tuple(found)), st.lists(nodes(), max_size=3))


def rank_of_best(ladder: Ladder) -> int:
    """Position of the best rung that fits in the order of preference, which knows no inventory.

    `RUNGS_MAX` where none fits, however many rungs are shown then.
    """
    return ladder.rungs.index(ladder.runnable[0]) if ladder.runnable else RUNGS_MAX


def fitting(ladder: Ladder) -> set[str]:
    return {r.plan.label for r in ladder.runnable}


@settings(max_examples=60, deadline=None)
@given(requests(), inventories, st.floats(1, 4))
def test_more_memory_never_worsens_the_best_plan(
    request: Request, inventory: Inventory, factor: float
) -> None:
    larger = Inventory(
        nodes=tuple(
            node.model_copy(
                update={
                    "host_memory_gib": node.host_memory_gib * factor,
                    "gpus": tuple(
                        g.model_copy(update={"memory_gib": g.memory_gib * factor}) for g in node.gpus
                    ),
                }
            )
            for node in inventory.nodes
        )
    )
    before, after = build_ladder([request], inventory), build_ladder([request], larger)
    assert fitting(before) <= fitting(after)
    assert rank_of_best(after) <= rank_of_best(before)


@settings(max_examples=60, deadline=None)
@given(requests(), inventories, nodes())
def test_another_node_never_removes_a_fit(request: Request, inventory: Inventory, node: Node) -> None:
    more = Inventory(nodes=(*inventory.nodes, node))
    before, after = build_ladder([request], inventory), build_ladder([request], more)
    assert fitting(before) <= fitting(after)
    now = {r.plan.label for r in before.rungs if r.verdict is Verdict.FITS_NOW}
    assert now <= {r.plan.label for r in after.rungs if r.verdict is Verdict.FITS_NOW}


@settings(max_examples=60, deadline=None)
@given(requests(), st.data())
def test_fewer_frames_or_pixels_never_need_more(request: Request, data: st.DataObject) -> None:
    card = MODELS[request.model]
    plan = data.draw(st.sampled_from(list_plans(card)))
    frames = 1 + 4 * data.draw(st.integers(0, (request.frames - 1) // 4))
    width = card.stride * data.draw(st.integers(1, request.width // card.stride))
    whole = estimate_memory(plan, card, request)
    less = estimate_memory(plan, card, request.model_copy(update={"frames": frames, "width": width}))
    for name in ("text_gib", "denoise_gib", "decode_gib", "host_gib"):
        assert getattr(less, name) <= getattr(whole, name)


@settings(max_examples=60, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=4, unique_by=lambda r: r.model), inventories)
def test_ladders_are_deterministic_and_honest(asked: list[Request], inventory: Inventory) -> None:
    ladder = build_ladder(asked, inventory)
    assert ladder == build_ladder(asked, inventory)
    assert Ladder.model_validate_json(ladder.model_dump_json(by_alias=True)) == ladder
    assert len(ladder.rungs) <= RUNGS_MAX
    assert len({r.plan.label for r in ladder.rungs}) == len(ladder.rungs)
    assert {r.plan.model for r in ladder.rungs} == {r.model for r in asked}
    for rung in ladder.rungs:
        assert re.search(r"[0-9]", rung.reason)
        assert (rung.verdict is Verdict.NEVER) or not rung.would_fit_if
        assert rung.verdict is Verdict.NEVER or fits_somewhere(rung, inventory)


def fits_somewhere(rung: Rung, inventory: Inventory) -> bool:
    need = rung.memory
    hosts = [node for node in inventory.nodes if need.host_gib <= node.host_memory_gib]
    if rung.plan.device == "cpu":
        return bool(hosts)
    return any(need.peak_gib <= gpu.memory_gib for node in hosts for gpu in node.gpus)


@settings(max_examples=60, deadline=None)
@given(requests(), st.floats(0, 150), st.floats(0, 150))
def test_the_plan_bound_fits_by_its_own_estimate(request: Request, free: float, host: float) -> None:
    everything = Inventory(
        nodes=(Node(name="n", gpus=(Gpu(product="big", memory_gib=1000),), host_memory_gib=1000),)
    )
    rungs = build_ladder([request], everything).runnable
    device = Device(kind="cuda", product="big", total_gib=1000, free_gib=free, host_free_gib=host)
    fits = [
        r
        for r in rungs
        if r.plan.device == "cuda" and r.memory.peak_gib <= free and r.memory.host_gib <= host
    ]
    if fits:
        binding = bind(rungs, device)
        assert binding.rung == fits[0]
        assert len(binding.refused) == rungs.index(fits[0])


@settings(max_examples=40, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=3, unique_by=lambda r: r.model), inventories, st.data())
def test_every_chain_of_failures_ends_and_repeats_no_plan_on_a_product(
    asked: list[Request], inventory: Inventory, data: st.DataObject
) -> None:
    ladder = build_ladder(asked, inventory)
    failures: list[Failure] = []
    tried: set[tuple[str, Any]] = set()
    bound = sum(max(1, len(r.products)) for r in ladder.rungs)
    while left := weaker(ladder, failures):
        rung = left[0]
        excluded = exclude(ladder, failures)
        open_products = [
            p for p in rung.products or (None,) if not any(e.covers(rung.plan.label, p) for e in excluded)
        ]
        product = data.draw(st.sampled_from(open_products))
        assert (rung.plan.label, product) not in tried
        tried.add((rung.plan.label, product))
        failures.append(Failure(rung.plan.label, data.draw(st.sampled_from(OTHER_PLAN)), product))
        assert len(failures) <= bound


def test_every_gpu_of_the_catalogue_with_bf16_and_24_gb_runs_5b() -> None:
    for card in GPUS:
        if card.vendor == "NVIDIA" and card.bf16_tflops and card.memory_gib > 23:
            gpu = Gpu(product=f"NVIDIA-{card.name}", memory_gib=card.memory_gib)
            node = Node(name="n", gpus=(gpu,), host_memory_gib=64)
            assert build_ladder([request_of("ti2v-5B")], Inventory(nodes=(node,))).runnable, card.name
