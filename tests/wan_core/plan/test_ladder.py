from __future__ import annotations

from typing import Any

import pytest

from tests.wan_core.plan.worlds import MEMORY, inventory_of, node_of, request_of
from wan_core.api.spec import Quality
from wan_core.api.status import Verdict
from wan_core.plan.inventory import Gpu, Inventory, Node
from wan_core.plan.ladder import RUNGS_MAX, Ladder, build_ladder, nothing_fits

H100, RTX_4090, L4 = "NVIDIA-H100-80GB-HBM3", "NVIDIA-GeForce-RTX-4090", "NVIDIA-L4"
H200, T4 = "NVIDIA-H200", "Tesla-T4"


def ladder_of(model: str, inventory: Inventory, **fields: Any) -> Ladder:
    return build_ladder([request_of(model, **fields)], inventory)


@pytest.mark.parametrize(
    ("model", "fields", "products", "best"),
    [
        pytest.param("ti2v-5B", {}, [RTX_4090], "bf16+component-offload", id="5B on a 4090"),
        pytest.param("t2v-A14B", {}, [H100], "bf16+component-offload", id="A14B 720p on an H100"),
        pytest.param(
            "t2v-A14B", {"resolution": "832x480"}, [H100], "bf16+resident", id="A14B 480p on an H100"
        ),
        pytest.param("t2v-A14B", {}, [H200], "bf16+resident", id="A14B 720p on an H200"),
        pytest.param("i2v-A14B", {}, [L4], "bf16+block-streaming", id="A14B 720p on an L4"),
        pytest.param(
            "t2v-1.3B",
            {"quality": "near"},
            ["an 8 GB card"],
            "bf16+resident+text-encoder-cpu+vae-tiling",
            id="1.3B on 8 GB, tiled",
        ),
        pytest.param("wan-tiny", {}, [RTX_4090], "bf16+resident", id="wan-tiny on a GPU"),
    ],
)
def test_a_model_gets_this_plan_on_these_gpus(
    model: str, fields: dict[str, Any], products: list[str], best: str
) -> None:
    taken = ladder_of(model, inventory_of(*products), **fields).runnable[0]
    assert taken.plan.label == f"{model}/cuda/{best}"
    assert taken.products == tuple(products)


def test_a_machine_without_gpus_runs_the_tiny_models_on_its_cpu() -> None:
    ladder = ladder_of("wan-tiny", inventory_of(host_gib=23))
    assert [r.plan.label for r in ladder.runnable] == ["wan-tiny/cpu/bf16+resident"]
    assert ladder.runnable[0].reason == "needs 1.1 GiB, the CPU of node-1 has 23.0 GiB free"
    assert ladder.rungs[0].reason == "needs 0.6 GiB (decode), there is no GPU here"


def test_large_models_never_run_on_a_cpu() -> None:
    ladder = ladder_of("t2v-1.3B", inventory_of(host_gib=2000))
    assert not ladder.runnable
    assert {r.plan.device for r in ladder.rungs} == {"cuda"}


def test_a_gpu_that_is_too_small_is_named_with_both_numbers() -> None:
    rung = ladder_of("t2v-A14B", inventory_of(L4, H100)).rungs[0]
    assert rung.verdict is Verdict.NEVER
    assert rung.reason == "needs 84.8 GiB (decode), the largest GPU is NVIDIA-H100-80GB-HBM3 with 79.6 GiB"


def test_a_gpu_without_bf16_is_refused_by_its_capability() -> None:
    ladder = ladder_of("t2v-1.3B", inventory_of(T4))
    assert ladder.rungs[0].reason == "needs compute capability 8.0 for bf16, Tesla-T4 has 7.5"
    assert ladder.rungs[0].would_fit_if == ("a GPU with 23 GiB and compute capability 8.0",)


def test_a_small_host_is_named_with_both_numbers() -> None:
    ladder = ladder_of("t2v-A14B", inventory_of(H100, host_gib=32))
    offload = next(r for r in ladder.rungs if "component-offload" in r.plan.label)
    assert offload.reason == (
        "needs 69.5 GiB of host memory, the largest node with a fitting GPU, node-1, has 32.0 GiB"
    )
    assert offload.would_fit_if == ("a node with 70 GiB of memory",)
    assert ladder.runnable[0].plan.uses("text-encoder-cpu")


def test_memory_and_host_must_be_of_one_node() -> None:
    nodes = (node_of(L4, host_gib=512, name="a"), node_of(H100, host_gib=16, name="b"))
    ladder = ladder_of("t2v-A14B", Inventory(nodes=nodes))
    assert [r.plan.techniques[1] for r in ladder.runnable] == ["resident", "block-streaming"]
    assert [r.products for r in ladder.runnable] == [(H100,), (L4,)]


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
    if verdict is Verdict.FITS_LATER:
        assert rung.reason == f"needs 22.9 GiB, {RTX_4090} has {free:.1f} of 24.0 GiB free now"


def test_a_busy_host_means_later_too() -> None:
    node = node_of(RTX_4090).model_copy(update={"host_free_gib": 8.0})
    rung = ladder_of("ti2v-5B", Inventory(nodes=(node,))).runnable[0]
    assert rung.verdict is Verdict.FITS_LATER
    assert rung.reason == "needs 26.4 GiB of host memory, node-1 has 8.0 of 256.0 GiB free now"


def test_only_the_named_gpu_products_count() -> None:
    inventory = inventory_of(RTX_4090, H100)
    ladder = build_ladder([request_of("t2v-A14B")], inventory, ["nvidia-geforce-rtx-4090"])
    assert {p for r in ladder.runnable for p in r.products} == {RTX_4090}
    none = build_ladder([request_of("wan-tiny")], inventory, [H200])
    assert not none.runnable
    names = "NVIDIA-GeForce-RTX-4090, NVIDIA-H100-80GB-HBM3"
    assert none.rungs[0].reason.endswith(f"allows none of the GPUs here ({names})")
    assert none.rungs[-1].reason.endswith("spec.scheduling.gpuProducts allows GPUs only")


def test_lossless_stands_before_near_and_cheaper_placements_before_dearer() -> None:
    ladder = ladder_of("t2v-A14B", inventory_of(H200), quality="near")
    assert [r.tier.rank for r in ladder.rungs] == sorted(r.tier.rank for r in ladder.rungs)
    lossless = [r.plan.techniques[1:] for r in ladder.rungs if r.tier is Quality.LOSSLESS]
    assert lossless == [
        ("resident",),
        ("component-offload",),
        ("resident", "text-encoder-cpu"),
        ("block-streaming",),
    ]


def test_a_plan_that_saves_nothing_has_no_rung() -> None:
    """Denoising is the peak of component offload: a text encoder on the CPU would not lower it."""
    labels = [r.plan.label for r in ladder_of("t2v-A14B", inventory_of(H200)).rungs]
    assert "t2v-A14B/cuda/bf16+component-offload+text-encoder-cpu" not in labels


def test_a_lower_floor_is_offered_where_it_alone_would_do() -> None:
    ladder = ladder_of("t2v-1.3B", inventory_of("an 8 GB card"))
    assert not ladder.runnable
    offered = ladder.rungs[-1]
    assert offered.would_fit_if == ("quality: near",)
    assert offered.reason.startswith("spec.quality: lossless excludes vae-tiling (near); it needs 5.7 GiB")
    assert all(r.tier is Quality.LOSSLESS for r in ladder.rungs[:-1])


def test_a_lower_floor_is_not_mentioned_where_something_fits() -> None:
    ladder = ladder_of("t2v-1.3B", inventory_of(RTX_4090))
    assert {r.tier for r in ladder.rungs} == {Quality.LOSSLESS}


@pytest.mark.parametrize(
    ("model", "fields", "gib"),
    [("ti2v-5B", {"quality": "near"}, 8.0), ("t2v-A14B", {"quality": "near"}, 12.0), ("ti2v-5B", {}, 20.0)],
)
def test_what_would_fit_does_fit(model: str, fields: dict[str, Any], gib: float) -> None:
    """Every computed cure of the request is applied, and the plan then fits."""
    inventory = Inventory(
        nodes=(Node(name="n", gpus=(Gpu(product="x", memory_gib=gib),), host_memory_gib=256),)
    )
    cured = 0
    for rung in ladder_of(model, inventory, **fields).rungs:
        for cure in rung.would_fit_if:
            name, _, value = cure.partition(": ")
            if name in ("frames", "resolution", "quality"):
                again = ladder_of(
                    model, inventory, **{**fields, name: int(value) if name == "frames" else value}
                )
                assert rung.plan.label in {r.plan.label for r in again.runnable}
                cured += 1
    assert cured


def test_one_more_step_than_the_cure_does_not_fit() -> None:
    inventory = Inventory(
        nodes=(Node(name="n", gpus=(Gpu(product="x", memory_gib=8),), host_memory_gib=256),)
    )
    rung = ladder_of("ti2v-5B", inventory, quality="near").rungs[-1]
    (frames,) = (int(c.split(": ")[1]) for c in rung.would_fit_if if c.startswith("frames"))
    assert not ladder_of("ti2v-5B", inventory, quality="near", frames=frames + 4).runnable
    assert ladder_of("ti2v-5B", inventory, quality="near", frames=frames).runnable


def test_nothing_fits_is_said_with_numbers_and_the_cure() -> None:
    least = "t2v-1.3B/cuda/bf16+component-offload+text-encoder-cpu"
    assert nothing_fits(ladder_of("t2v-1.3B", inventory_of("an 8 GB card"))) == (
        f"no plan of t2v-1.3B can run; {least}: needs 8.8 GiB (decode), the largest GPU is an 8 GB card with "
        "8.0 GiB; would fit with quality: near, or resolution: 784x448, or a GPU with 9 GiB"
    )


def test_no_gpu_at_all_is_said_with_what_would_do() -> None:
    assert nothing_fits(ladder_of("t2v-A14B", inventory_of())) == (
        "no plan of t2v-A14B can run; t2v-A14B/cuda/bf16+block-streaming: needs 19.0 GiB (decode), "
        "there is no GPU here; would fit with a GPU with 19 GiB"
    )


def test_a_model_that_cannot_run_yet_has_one_rung_that_says_so() -> None:
    (rung,) = ladder_of("s2v-14B", inventory_of(H200)).rungs
    assert rung.verdict is Verdict.NEVER
    assert rung.reason == "s2v-14B cannot run yet: it needs speech, and a request cannot carry audio yet"


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


def test_an_unknown_gpu_gets_a_verdict_without_seconds() -> None:
    inventory = Inventory(
        nodes=(Node(name="n", gpus=(Gpu(product="new", memory_gib=141),), host_memory_gib=99),)
    )
    rung = ladder_of("t2v-A14B", inventory).runnable[0]
    assert rung.verdict is Verdict.FITS_NOW
    assert rung.seconds is None


def test_the_memory_of_the_test_cards_is_as_the_catalogue_has_it() -> None:
    assert MEMORY[RTX_4090] == pytest.approx(23.99, abs=0.01)
