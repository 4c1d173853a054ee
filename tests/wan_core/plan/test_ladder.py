from __future__ import annotations

from typing import Any, get_args

import pytest

from tests.wan_core.plan.worlds import MEMORY, inventory_of, node_of, request_of
from wan_core.api.spec import Quality
from wan_core.api.status import RUNGS_MAX, Verdict
from wan_core.catalog.models import MODELS
from wan_core.plan.candidates import list_candidates
from wan_core.plan.criteria import Criteria, Order
from wan_core.plan.inventory import Gpu, Inventory, Node
from wan_core.plan.ladder import build_ladder, nothing_fits
from wan_core.plan.rungs import Ladder, Rung

H100, RTX_4090, L4 = "NVIDIA-H100-80GB-HBM3", "NVIDIA-GeForce-RTX-4090", "NVIDIA-L4"
H200, T4 = "NVIDIA-H200", "Tesla-T4"
SMALL_CARD = "an 8 GB card"


def ladder_of(model: str, inventory: Inventory, **fields: Any) -> Ladder:
    return build_ladder([request_of(model, **fields)], inventory)


def rung_of(ladder: Ladder, techniques: str) -> Rung:
    return next(r for r in ladder.rungs if r.plan.label.endswith(f"/{techniques}"))


@pytest.mark.parametrize(
    ("model", "fields", "products", "placement"),
    [
        pytest.param("t2v-A14B", {"resolution": "832x480"}, [H100], {"resident"}, id="A14B 480p on an H100"),
        pytest.param("t2v-A14B", {}, [H200], {"resident"}, id="A14B 720p on an H200"),
        pytest.param("i2v-A14B", {}, [L4], {"block-streaming"}, id="A14B 720p on an L4"),
        pytest.param("t2v-1.3B", {"quality": "near"}, [SMALL_CARD], {"resident"}, id="1.3B on 8 GB, tiled"),
        pytest.param("wan-tiny", {}, [RTX_4090], {"resident"}, id="wan-tiny on a GPU"),
        pytest.param("ti2v-5B", {}, [RTX_4090], {"component-offload", "block-streaming"}, id="5B on a 4090"),
        pytest.param(
            "t2v-A14B", {}, [H100], {"component-offload", "block-streaming"}, id="A14B 720p on an H100"
        ),
    ],
)
def test_a_model_is_placed_so_on_these_gpus(
    model: str, fields: dict[str, Any], products: list[str], placement: set[str]
) -> None:
    taken = ladder_of(model, inventory_of(*products), **fields).runnable[0]
    assert set(taken.plan.techniques) & {"resident", "component-offload", "block-streaming"} <= placement
    assert taken.products == tuple(products)


@pytest.mark.parametrize("gib", [8, 10, 12, 16])
@pytest.mark.parametrize("model", ["t2v-1.3B", "ti2v-5B", "t2v-A14B", "i2v-A14B"])
def test_small_cards_have_plans_that_fit(model: str, gib: int) -> None:
    inventory = Inventory(
        nodes=(Node(name="n", gpus=(Gpu(product="x", memory_gib=gib),), host_memory_gib=128),)
    )
    ladder = ladder_of(model, inventory, quality="near")
    assert ladder.runnable
    assert all(r.memory.peak_gib <= gib for r in ladder.runnable)


def test_a_machine_without_gpus_runs_the_tiny_models_on_its_cpu() -> None:
    ladder = ladder_of("wan-tiny", inventory_of(host_gib=23))
    (rung,) = ladder.runnable
    assert rung.plan.label == "wan-tiny/cpu/bf16+resident"
    need = f"needs {rung.memory.peak_gib:.1f} GiB"
    assert rung.reason == f"{need}, fits the CPU of node-1 with 23.0 GiB when it is empty"
    assert ladder.rungs[0].reason.endswith("there is no GPU here")


def test_large_models_never_run_on_a_cpu() -> None:
    ladder = ladder_of("t2v-1.3B", inventory_of(host_gib=2000))
    assert not ladder.runnable
    assert {r.plan.device for r in ladder.rungs} == {"cuda"}


def test_a_gpu_that_is_too_small_is_named_with_both_numbers() -> None:
    rung = ladder_of("t2v-A14B", inventory_of(L4, H100)).rungs[0]
    assert rung.verdict is Verdict.NEVER
    need = f"needs {rung.memory.peak_gib:.1f} GiB ({rung.memory.peak_phase})"
    assert rung.reason == f"{need}, the largest GPU is {H100} with 79.6 GiB"


def test_plans_in_float32_are_for_gpus_without_bf16_and_for_no_others() -> None:
    def precisions(*products: str) -> set[str]:
        return {r.plan.techniques[0] for r in ladder_of("t2v-1.3B", inventory_of(*products)).runnable}

    assert precisions(T4) == {"fp32"}
    assert precisions(H100) == {"bf16"}
    assert precisions("some new card") == set()
    assert precisions(T4, H100) == {"fp32", "bf16"}


def test_where_no_gpu_has_bf16_one_plan_says_so_for_all() -> None:
    ladder = ladder_of("t2v-1.3B", inventory_of(T4))
    (rung,) = (r for r in ladder.rungs if r.plan.uses("bf16"))
    assert rung.reason == "needs compute capability 8.0 for bf16, Tesla-T4 has 7.5"
    (cure,) = rung.cures
    assert (cure.kind, "compute capability 8.0" in cure.text) == ("gpu", True)


def test_a_small_host_is_named_with_both_numbers() -> None:
    ladder = ladder_of("t2v-A14B", inventory_of(H100, host_gib=32))
    offload = rung_of(ladder, "bf16+component-offload")
    need = offload.memory.host_gib
    assert offload.reason == (
        f"needs {need:.1f} GiB of host memory, the largest node with a fitting GPU, node-1, has 32.0 GiB"
    )
    assert "host" in {c.kind for c in offload.cures}
    assert ladder.runnable[0].plan.uses("text-encoder-cpu")


def test_memory_and_host_must_be_of_one_node() -> None:
    nodes = (node_of(L4, host_gib=512, name="a"), node_of(H100, host_gib=16, name="b"))
    ladder = ladder_of("t2v-A14B", Inventory(nodes=nodes))
    placements = {r.plan.techniques[1]: r.products for r in ladder.runnable}
    assert placements == {"resident": (H100,), "block-streaming": (L4,)}


@pytest.mark.parametrize(
    ("free", "verdict"),
    [
        (None, Verdict.FITS_NOW),
        (23.5, Verdict.FITS_NOW),
        (12.0, Verdict.FITS_LATER),
        (0.0, Verdict.FITS_LATER),
    ],
)
def test_what_is_free_decides_between_now_and_later(free: float | None, verdict: Verdict) -> None:
    rung = ladder_of("ti2v-5B", inventory_of(RTX_4090, free_gib=free)).runnable[0]
    assert rung.verdict is verdict
    need = f"needs {rung.memory.peak_gib:.1f} GiB"
    if verdict is Verdict.FITS_LATER:
        assert rung.reason == f"{need}, {RTX_4090} has {free:.1f} of 24.0 GiB free now"
    elif free is None:
        assert rung.reason == f"{need}, fits {RTX_4090} with 24.0 GiB when it is empty"
    else:
        assert rung.reason == f"{need}, {RTX_4090} has {free:.1f} GiB free"


def test_a_busy_host_means_later_too() -> None:
    node = node_of(RTX_4090).model_copy(update={"host_free_gib": 8.0})
    rung = ladder_of("ti2v-5B", Inventory(nodes=(node,))).runnable[0]
    assert rung.verdict is Verdict.FITS_LATER
    need = f"needs {rung.memory.host_gib:.1f} GiB of host memory"
    assert rung.reason == f"{need}, node-1 has 8.0 of 256.0 GiB free now"


def test_only_the_named_gpu_products_count() -> None:
    inventory = inventory_of(RTX_4090, H100)
    ladder = build_ladder([request_of("t2v-A14B")], inventory, ["nvidia-geforce-rtx-4090"])
    assert {p for r in ladder.runnable for p in r.products} == {RTX_4090}
    none = build_ladder([request_of("wan-tiny")], inventory, [H200])
    names = "NVIDIA-GeForce-RTX-4090, NVIDIA-H100-80GB-HBM3"
    assert none.rungs[0].reason.endswith(f"allows none of the GPUs here ({names})")
    assert none.rungs[-1].reason.endswith("spec.scheduling.gpuProducts allows GPUs only")


def test_lossless_stands_before_near_and_what_is_faster_before_what_is_slower() -> None:
    ladder = ladder_of("t2v-A14B", inventory_of(H200), quality="near")
    assert [r.tier.rank for r in ladder.rungs] == sorted(r.tier.rank for r in ladder.rungs)
    for tier in (Quality.LOSSLESS, Quality.NEAR):
        seconds = [r.seconds or 0 for r in ladder.rungs if r.tier is tier]
        assert len(seconds) > 2
        assert seconds == sorted(seconds)


def test_where_cost_is_asked_for_the_cheaper_gpu_counts() -> None:
    """Two plans, each of one GPU: the slower one costs less."""
    nodes = (node_of(H100, host_gib=40, name="a"), node_of(RTX_4090, host_gib=512, name="b"))
    prices = {H100: 90.0, RTX_4090: 0.5}
    request = request_of("t2v-A14B", resolution="832x480")
    by = {
        order: build_ladder(
            [request], Inventory(nodes=nodes), criteria=Criteria(order, prices=prices)
        ).runnable[0]
        for order in get_args(Order)
    }
    assert (by["time"].product, by["cost"].product) == (H100, RTX_4090)
    assert by["time"].seconds < by["cost"].seconds  # type: ignore[operator]
    assert by["time"].cost.low > by["cost"].cost.low  # type: ignore[union-attr]


def test_without_prices_nothing_costs_anything() -> None:
    assert {r.cost for r in ladder_of("ti2v-5B", inventory_of(RTX_4090)).rungs} == {None}


def test_a_plan_that_saves_nothing_has_no_rung() -> None:
    """Denoising is the peak of component offload: a text encoder on the CPU would not lower it."""
    labels = [r.plan.label for r in ladder_of("t2v-A14B", inventory_of(H200)).rungs]
    assert "t2v-A14B/cuda/bf16+component-offload+text-encoder-cpu" not in labels


@pytest.mark.parametrize("model", [card.id for card in MODELS.values() if not card.cannot_run])
def test_every_plan_worth_having_is_on_the_ladder_of_a_large_gpu(model: str) -> None:
    ladder = ladder_of(model, inventory_of(H200, host_gib=512), quality="near")
    assert len(ladder.rungs) <= RUNGS_MAX
    least = min(
        list_candidates(MODELS[model], request_of(model, quality="near")), key=lambda c: c.memory.peak_gib
    )
    assert min(r.memory.peak_gib for r in ladder.rungs) <= 1.03 * least.memory.peak_gib


def test_a_lower_floor_is_offered_where_it_alone_would_do() -> None:
    ladder = ladder_of("t2v-1.3B", inventory_of(SMALL_CARD))
    assert not ladder.runnable
    offered = ladder.rungs[-1]
    assert offered.would_fit_if == ("quality: near",)
    assert offered.reason.startswith("spec.quality: lossless excludes vae-tiling (near); it needs ")
    assert all(r.tier is Quality.LOSSLESS for r in ladder.rungs[:-1])


def test_a_lower_floor_is_not_mentioned_where_something_fits() -> None:
    ladder = ladder_of("t2v-1.3B", inventory_of(RTX_4090))
    assert {r.tier for r in ladder.rungs} == {Quality.LOSSLESS}


def test_nothing_fits_is_said_with_numbers_and_each_smallest_change() -> None:
    ladder = ladder_of("t2v-1.3B", inventory_of(SMALL_CARD))
    least = min(ladder.rungs[:-1], key=lambda r: r.memory.peak_gib)
    said = nothing_fits(ladder)
    need = f"needs {least.memory.peak_gib:.1f} GiB (decode), the largest GPU is {SMALL_CARD} with 8.0 GiB"
    assert said.startswith(f"no plan of t2v-1.3B can run; {least.plan.label}: {need}; would fit with ")
    changes = said.partition("would fit with ")[2].split(", or ")
    assert [c.split(" ")[0] for c in changes] == ["quality:", "resolution:", "a"]


def test_no_gpu_at_all_is_said_with_what_would_do() -> None:
    said = nothing_fits(ladder_of("t2v-A14B", inventory_of()))
    assert "there is no GPU here; would fit with a GPU with " in said


def test_a_model_that_cannot_run_yet_has_one_rung_that_says_so() -> None:
    (rung,) = ladder_of("s2v-14B", inventory_of(H200)).rungs
    assert rung.verdict is Verdict.NEVER
    assert rung.reason == "s2v-14B cannot run yet: it needs speech, and a request cannot carry audio yet"
    assert rung.cures == ()


def test_fallback_models_follow_in_the_users_order() -> None:
    requests = [request_of(m, quality="near", resolution="832x480") for m in ("t2v-A14B", "t2v-1.3B")]
    ladder = build_ladder([*requests, request_of("ti2v-5B", quality="near")], inventory_of(L4))
    models = [r.plan.model for r in ladder.rungs]
    assert list(dict.fromkeys(models)) == ["t2v-A14B", "t2v-1.3B", "ti2v-5B"]
    assert models == sorted(models, key=["t2v-A14B", "t2v-1.3B", "ti2v-5B"].index)
    assert len(models) <= RUNGS_MAX
    assert {r.plan.model for r in ladder.runnable} == set(models)


def test_seconds_are_those_of_the_fastest_gpu_that_fits() -> None:
    slow, both = (ladder_of("ti2v-5B", inventory_of(*p)).runnable[0] for p in ([RTX_4090], [RTX_4090, H100]))
    assert slow.seconds is not None
    assert both.seconds is not None
    assert both.seconds < slow.seconds
    assert (slow.product, both.product) == (RTX_4090, H100)


def test_what_is_busy_changes_no_order() -> None:
    def order(free_gib: float) -> list[str]:
        fast = node_of(H100, name="fast", free_gib=free_gib)
        return [r.plan.label for r in ladder_of("ti2v-5B", Inventory(nodes=(fast, node_of(L4)))).rungs]

    assert order(0.0) == order(79.0)


def test_an_unknown_gpu_gets_a_verdict_without_seconds() -> None:
    inventory = Inventory(
        nodes=(Node(name="n", gpus=(Gpu(product="new", memory_gib=141),), host_memory_gib=99),)
    )
    rung = ladder_of("t2v-A14B", inventory).runnable[0]
    assert rung.verdict is Verdict.FITS_NOW
    assert rung.seconds is None


def test_a_gpu_that_torch_does_not_call_cuda_is_refused_with_a_number() -> None:
    node = Node(name="n", gpus=(Gpu(product="Intel Arc B580", memory_gib=12),), host_memory_gib=64)
    rung = ladder_of("t2v-1.3B", Inventory(nodes=(node,))).rungs[0]
    assert rung.verdict is Verdict.NEVER
    assert rung.reason.endswith("GiB of an NVIDIA or AMD GPU (cuda), Intel Arc B580 is one for xpu")


def test_the_memory_of_the_test_cards_is_as_the_catalogue_has_it() -> None:
    assert MEMORY[RTX_4090] == pytest.approx(23.99, abs=0.01)
