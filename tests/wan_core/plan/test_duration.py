from __future__ import annotations

import pytest

from tests.wan_core.plan.worlds import request_of
from wan_core.catalog.models import MODELS
from wan_core.plan.duration import (
    BUS_BYTES_PER_S,
    count_forwards,
    estimate_seconds,
    forward_flops,
    placement_seconds,
    text_flops,
)
from wan_core.plan.shapes import block_bytes
from wan_core.plan.techniques import Plan

H100, RTX_4090 = "NVIDIA-H100-80GB-HBM3", "NVIDIA-GeForce-RTX-4090"


def plan_of(model: str, *techniques: str, device: str = "cuda") -> Plan:
    return Plan.model_validate({"model": model, "device": device, "techniques": ("bf16", *techniques)})


@pytest.mark.parametrize(
    ("model", "tokens", "tera"),
    [("t2v-A14B", 32_760, 1678), ("t2v-A14B", 75_600, 6523), ("ti2v-5B", 27_280, 517)],
)
def test_operations_of_a_forward_come_to_the_published_table(model: str, tokens: int, tera: int) -> None:
    assert forward_flops(MODELS[model], tokens) / 1e12 == pytest.approx(tera, rel=0.002)


def test_a_text_encoder_computes_nothing_for_its_embedding_table() -> None:
    assert text_flops(MODELS["t2v-A14B"]) / 1e12 == pytest.approx(2 * 2 * 4.63e9 * 512 / 1e12, rel=0.01)


@pytest.mark.parametrize(
    ("guidance", "forwards"),
    [
        pytest.param({"high": 4, "low": 3}, 80, id="both"),
        pytest.param({"high": 2, "low": 1}, 80, id="one of two"),
        pytest.param({"high": 1, "low": 1}, 40, id="none"),
    ],
)
def test_guidance_doubles_the_forwards(guidance: dict[str, float], forwards: int) -> None:
    assert count_forwards(request_of("t2v-A14B", guidance=guidance)) == forwards


@pytest.mark.parametrize(
    ("model", "fields", "product", "seconds"),
    [
        pytest.param("ti2v-5B", {}, RTX_4090, 534.7, id="5B on a 4090, original code"),
        pytest.param("t2v-A14B", {"resolution": "832x480"}, H100, 40 * 9.77, id="480p on H100, diffusers"),
    ],
)
def test_estimates_meet_the_figures_they_are_calibrated_on(
    model: str, fields: dict[str, str], product: str, seconds: float
) -> None:
    found = estimate_seconds(plan_of(model, "resident"), MODELS[model], request_of(model, **fields), product)
    assert found == pytest.approx(seconds, rel=0.03)


@pytest.mark.parametrize("product", ["GTX-9999", "Tesla-T4", "NVIDIA-B200", "NVIDIA-GeForce-RTX-5090"])
def test_an_unmeasured_gpu_gets_no_seconds(product: str) -> None:
    plan = plan_of("ti2v-5B", "resident")
    assert estimate_seconds(plan, MODELS["ti2v-5B"], request_of("ti2v-5B"), product) is None


def test_streaming_is_hidden_where_computing_takes_longer() -> None:
    card, large = MODELS["t2v-A14B"], request_of("t2v-A14B")
    resident = estimate_seconds(plan_of(card.id, "resident"), card, large, H100)
    streamed = estimate_seconds(plan_of(card.id, "block-streaming"), card, large, H100)
    assert resident is not None
    assert streamed is not None
    assert 0 <= streamed - resident < 2  # the text encoder and the VAE


def test_streaming_shows_where_computing_is_short() -> None:
    card, small = MODELS["t2v-A14B"], request_of("t2v-A14B", frames=5, resolution="416x240")
    streamed = estimate_seconds(plan_of(card.id, "block-streaming"), card, small, H100)
    assert streamed is not None
    assert streamed > 80 * 40 * block_bytes(card.transformer) / BUS_BYTES_PER_S


def test_placements_cost_more_the_less_they_hold() -> None:
    card, request = MODELS["t2v-A14B"], request_of("t2v-A14B")
    costs = [
        placement_seconds(plan_of(card.id, name), card, request)
        for name in ("resident", "component-offload", "block-streaming")
    ]
    assert costs[0] == 0
    assert costs == sorted(costs)


def test_wan_tiny_takes_about_a_second_on_a_cpu() -> None:
    plan = plan_of("wan-tiny", "resident", device="cpu")
    seconds = estimate_seconds(plan, MODELS["wan-tiny"], request_of("wan-tiny"), "cpu")
    assert seconds == pytest.approx(1.0, abs=0.15)  # measured 1.0 s at 20 guided steps
