"""What holds for every request and every inventory."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wan_core.plan.draws import empty_of, inventories, nodes, requests
from tests.wan_core.plan.worlds import request_of
from wan_core.api.status import RUNGS_MAX, Verdict
from wan_core.catalog.gpus import GPUS
from wan_core.errors import TABLE, Category
from wan_core.plan.choose import Exclusion, Failure, bind, exclude, weaker
from wan_core.plan.inventory import Device, Gpu, Inventory, Node
from wan_core.plan.ladder import build_ladder
from wan_core.plan.request import Request
from wan_core.plan.rungs import Ladder, Rung

OTHER_PLAN = [category for category in Category if TABLE[category].other_plan]


def best_of(ladder: Ladder) -> tuple[int, int, bool, bool, float]:
    """How good the best plan that fits is: which model, quality, GPU or CPU, seconds. Less is better."""
    if not ladder.runnable:
        return (RUNGS_MAX, 0, False, False, 0.0)
    best = ladder.runnable[0]
    models = list(dict.fromkeys(r.plan.model for r in ladder.rungs))
    index, unknown = models.index(best.plan.model), best.seconds is None
    return (index, best.tier.rank, best.plan.device == "cpu", unknown, best.seconds or 0.0)


def fitting(ladder: Ladder) -> set[str]:
    return {r.plan.label for r in ladder.runnable}


@settings(max_examples=30, deadline=None)
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
    before, after = (best_of_each(build_ladder([request], world)) for world in (inventory, larger))
    assert all(after[product] <= tier for product, tier in before.items())
    empty = [build_ladder([request], empty_of(world)) for world in (inventory, larger)]
    assert best_of(empty[1]) <= best_of(empty[0])


@settings(max_examples=30, deadline=None)
@given(requests(), inventories, nodes())
def test_another_node_never_removes_a_fit(request: Request, inventory: Inventory, node: Node) -> None:
    more = Inventory(nodes=(*inventory.nodes, node))
    before, after = build_ladder([request], inventory), build_ladder([request], more)
    assert fitting(before) <= fitting(after)
    now = {r.plan.label for r in before.rungs if r.verdict is Verdict.FITS_NOW}
    assert now <= {r.plan.label for r in after.rungs if r.verdict is Verdict.FITS_NOW}


@settings(max_examples=30, deadline=None)
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
        assert (rung.verdict is Verdict.FITS_NOW) == (not rung.cures)
        named = ("quality", "product")
        assert all(re.search(r"[0-9]", cure.text) or cure.kind in named for cure in rung.cures)
        assert rung.verdict is Verdict.NEVER or fits_somewhere(rung, inventory)


def fits_somewhere(rung: Rung, inventory: Inventory) -> bool:
    need = rung.memory
    hosts = [node for node in inventory.nodes if need.host_gib <= node.host_memory_gib]
    if rung.plan.device == "cpu":
        return bool(hosts)
    return any(need.peak_gib <= gpu.memory_gib for node in hosts for gpu in node.gpus)


@settings(max_examples=30, deadline=None)
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
def test_every_chain_of_failures_ends_and_each_step_is_weaker(
    asked: list[Request], inventory: Inventory, data: st.DataObject
) -> None:
    """From whichever rung that is open, however it fails, wherever it fits."""
    ladder = build_ladder(asked, inventory)
    failures: list[Failure] = []
    tried: set[tuple[str, str | None]] = set()
    bound = sum(max(1, len(r.products)) for r in ladder.rungs)
    while left := weaker(ladder, failures):
        rung = data.draw(st.sampled_from(left))
        product = data.draw(st.sampled_from(open_on(rung, exclude(ladder, failures))))
        category = data.draw(st.sampled_from(OTHER_PLAN))
        assert (rung.plan.label, product) not in tried
        tried.add((rung.plan.label, product))
        failures.append(Failure(rung.plan.label, category, product))
        assert_weaker(ladder, failures)
        assert len(failures) <= bound


def open_on(rung: Rung, excluded: Sequence[Exclusion]) -> list[str | None]:
    places: tuple[str | None, ...] = rung.products or (None,)
    return [p for p in places if not any(e.covers(rung.plan.label, p) for e in excluded)]


def assert_weaker(ladder: Ladder, failures: Sequence[Failure]) -> None:
    """What is left after the last failure can avoid it."""
    failure, excluded = failures[-1], exclude(ladder, failures)
    failed = next(r for r in ladder.rungs if r.plan.label == failure.plan)
    for rung in weaker(ladder, failures):
        there = failure.product in open_on(rung, excluded) and rung.plan.device == failed.plan.device
        if failure.category is Category.HOST_OUT_OF_MEMORY:
            assert rung.memory.host_gib < failed.memory.host_gib
        elif failure.category is Category.CUDA_OUT_OF_MEMORY and there:
            product = failure.product or ""
            assert rung.need_on(product).peak_gib < failed.need_on(product).peak_gib
        elif failure.category is Category.INCOMPATIBLE_HARDWARE:
            assert not there


@settings(max_examples=40, deadline=None)
@given(requests(), inventories, st.sampled_from(["Tesla-T4", "NVIDIA-H100-80GB-HBM3", "AMD Instinct MI300X"]))
def test_another_kind_of_gpu_never_takes_a_fit_from_one_that_is_there(
    request: Request, inventory: Inventory, product: str
) -> None:
    bought = Node(name="z", gpus=(Gpu(product=product, memory_gib=80),), host_memory_gib=200, gpu_only=True)
    more = Inventory(nodes=(*inventory.nodes, bought))
    before, after = build_ladder([request], inventory), build_ladder([request], more)
    assert best_of_each(before).keys() <= best_of_each(after).keys()
    for name, tier in best_of_each(before).items():
        assert best_of_each(after)[name] <= tier


def best_of_each(ladder: Ladder) -> dict[str, int]:
    """The best quality that each product, or the CPU, has a plan for."""
    found: dict[str, int] = {}
    for rung in ladder.runnable:
        for name in rung.products or ("cpu",):
            found[name] = min(found.get(name, 99), rung.tier.rank)
    return found


def test_every_gpu_of_the_catalogue_with_bf16_and_24_gb_runs_5b() -> None:
    for card in GPUS:
        if card.vendor == "NVIDIA" and card.bf16_tflops and card.memory_gib > 23:
            gpu = Gpu(product=f"NVIDIA-{card.name}", memory_gib=card.memory_gib)
            node = Node(name="n", gpus=(gpu,), host_memory_gib=64)
            assert build_ladder([request_of("ti2v-5B")], Inventory(nodes=(node,))).runnable, card.name
