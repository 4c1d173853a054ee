"""Time by phase: what the formula makes of public figures, and what each technique does to it."""

from __future__ import annotations

from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_core.plan.worlds import request_of
from wan_core.catalog.gpu_card import GpuCard
from wan_core.catalog.gpus import GPUS, find_gpu
from wan_core.catalog.models import MODELS
from wan_core.plan.duration import TimeEstimate, estimate_time, find_pace, streamed_bytes
from wan_core.plan.host import TILED
from wan_core.plan.operations import text_flops
from wan_core.plan.rates import Rates
from wan_core.plan.shapes import transformer_bytes, weights_bytes
from wan_core.plan.span import NOTHING, Span, add
from wan_core.plan.techniques import Plan, suits

H100, H200, RTX_4090, T4 = (
    "NVIDIA-H100-80GB-HBM3",
    "NVIDIA-H200",
    "NVIDIA-GeForce-RTX-4090",
    "Tesla-T4",
)
RUNNABLE = [card for card in MODELS.values() if not card.cannot_run]


def plan_of(model: str, *techniques: str, precision: str = "bf16", device: str = "cuda") -> Plan:
    return Plan.model_validate({"model": model, "device": device, "techniques": (precision, *techniques)})


def time_of(plan: Plan, product: str = H100, rates: Rates | None = None, **fields: object) -> TimeEstimate:
    card = MODELS[plan.model]
    found = estimate_time(plan, card, request_of(card.id, **fields), find_gpu(product), rates or Rates())
    assert found is not None
    return found


def is_within(seconds: float, span: Span, slack: float = 0.03) -> bool:
    return span.low * (1 - slack) <= seconds <= span.high * (1 + slack)


@pytest.mark.parametrize(
    ("model", "fields", "product", "seconds"),
    [
        pytest.param("t2v-A14B", {"resolution": "832x480"}, H200, 5.142, id="480p H200 sglang"),
        pytest.param("t2v-A14B", {}, H200, 19.39, id="720p Hopper sglang"),
        pytest.param("t2v-A14B", {"resolution": "832x480"}, H100, 6.13, id="480p H100 SGL"),
        pytest.param("t2v-A14B", {"resolution": "832x480"}, H100, 7.35, id="480p H100 FastVideo"),
        pytest.param("t2v-A14B", {}, "NVIDIA-B200", 370.8 / 40, id="720p B200 TensorRT-LLM, of 80 frames"),
        pytest.param("t2v-A14B", {}, "NVIDIA-A100-SXM4-80GB", 2735.7 / 40, id="720p A100 Wan2.2"),
        pytest.param("t2v-1.3B", {}, "NVIDIA-A100-SXM4-80GB", 3.78, id="1.3B A100 FastVideo"),
        pytest.param("ti2v-5B", {}, RTX_4090, 534.7 / 50, id="5B 4090 Wan2.2"),
    ],
)
def test_public_figures_of_a_step_lie_in_what_is_estimated(
    model: str, fields: dict[str, str], product: str, seconds: float
) -> None:
    found = time_of(plan_of(model, "resident"), product, **fields)
    slack = 0.09 if product == "NVIDIA-B200" else 0.03  # 20 latent frames were made there, 21 here
    assert found.basis == "published"
    assert is_within(seconds, found.seconds_per_step, slack)


@pytest.mark.parametrize("gpu", [g for g in GPUS if g.profile != "older"], ids=lambda gpu: gpu.name)
def test_every_gpu_of_the_table_that_has_the_precision_gets_a_time(gpu: GpuCard) -> None:
    plan, card = plan_of("ti2v-5B", "component-offload"), MODELS["ti2v-5B"]
    found = estimate_time(plan, card, request_of(card.id), gpu)
    assert found is not None
    assert found.total.low > 0
    assert isfinite(found.total.high)
    assert found.sources
    if found.basis == "unmeasured":
        assert not found.seconds_per_step.is_point
        assert found.sources[0].startswith("unmeasured: ")


@pytest.mark.parametrize("gpu", [g for g in GPUS if g.profile == "older"], ids=lambda gpu: gpu.name)
def test_an_old_gpu_computes_in_float32_or_not_at_all(gpu: GpuCard) -> None:
    card = MODELS["ti2v-5B"]
    request = request_of(card.id)
    wide, narrow = (plan_of(card.id, "component-offload", precision=p) for p in ("fp32", "bf16"))
    assert not suits(wide, "cuda", gpu.compute_capability)
    found = estimate_time(wide, card, request, gpu)
    assert found is not None
    assert found.basis == "unmeasured"
    assert estimate_time(narrow, card, request, gpu) is None


def test_of_an_unknown_product_nothing_is_said() -> None:
    card = MODELS["ti2v-5B"]
    assert estimate_time(plan_of(card.id, "resident"), card, request_of(card.id), None) is None


def test_the_total_is_the_sum_of_its_phases() -> None:
    found = time_of(plan_of("t2v-A14B", "component-offload"))
    phases = (found.load_s, found.compile_s, found.text_s, found.denoise_s, found.decode_s, found.upload_s)
    assert found.total == add(*phases)


def test_what_a_request_asks_for_is_paid_for() -> None:
    plan = plan_of("t2v-A14B", "resident")
    plain = time_of(plan)
    assert time_of(plan, steps=20).denoise_s.low == pytest.approx(plain.denoise_s.low / 2)
    unguided = time_of(plan, guidance={"high": 1, "low": 1})
    assert unguided.seconds_per_step.low == pytest.approx(plain.seconds_per_step.low / 2)
    assert time_of(plan, frames=41).decode_s.low == pytest.approx(plain.decode_s.low * 41 / 81, rel=0.01)


def test_streaming_is_hidden_where_computing_takes_longer() -> None:
    resident, streamed = (time_of(plan_of("t2v-A14B", p)) for p in ("resident", "block-streaming"))
    assert streamed.seconds_per_step == resident.seconds_per_step


def test_streaming_shows_where_computing_is_short() -> None:
    plan, small = plan_of("t2v-A14B", "block-streaming"), {"frames": 5, "resolution": "416x240"}
    rates = Rates(bus_gb_per_second=10)
    found = time_of(plan, rates=rates, **small)
    crossing = streamed_bytes(plan, MODELS["t2v-A14B"], request_of("t2v-A14B", **small)) / 10e9
    assert found.seconds_per_step.low == pytest.approx(crossing)


def test_what_is_streamed_is_pinned_while_it_loads() -> None:
    offloaded, streamed = (time_of(plan_of("t2v-A14B", p)) for p in ("component-offload", "block-streaming"))
    assert streamed.load_s.low > offloaded.load_s.low
    assert streamed.total.middle > offloaded.total.middle


def test_both_passes_at_once_need_each_block_once() -> None:
    card, request = MODELS["t2v-A14B"], request_of("t2v-A14B")
    apart, batched = (
        streamed_bytes(plan_of(card.id, "block-streaming", *more), card, request)
        for more in ((), ("guidance-batching",))
    )
    assert apart == 2 * batched


def test_component_offload_takes_each_expert_over_the_bus_once() -> None:
    card, rates = MODELS["t2v-A14B"], Rates(bus_gb_per_second=25)
    resident, moved = (time_of(plan_of(card.id, p), rates=rates) for p in ("resident", "component-offload"))
    more = moved.denoise_s.low - resident.denoise_s.low
    assert more > 2 * transformer_bytes(card.transformer) / 25e9
    assert more < weights_bytes(card) / 25e9


def test_tiles_decode_their_overlaps_twice() -> None:
    whole, tiled = (time_of(plan_of("ti2v-5B", "resident", *more)) for more in ((), ("vae-tiling",)))
    assert tiled.decode_s.low == pytest.approx(whole.decode_s.low * 16 / 9)
    assert pytest.approx(1.78, abs=0.01) == TILED


def test_a_text_encoded_on_the_cpu_takes_as_long_as_its_cores_need() -> None:
    plan = plan_of("ti2v-5B", "resident", "text-encoder-cpu")
    found = time_of(plan, rates=Rates(host_cores=8))
    assert found.text_s.is_point
    assert found.text_s.low == pytest.approx(text_flops(MODELS["ti2v-5B"]) / (8 * 0.075e12))
    assert any("on the CPU" in source for source in found.sources)


@pytest.mark.parametrize("technique", ["sliced-attention", "guidance-batching"])
def test_what_nobody_measured_makes_the_range_wider(technique: str) -> None:
    plain, changed = (time_of(plan_of("t2v-A14B", "resident", *m)) for m in ((), (technique,)))
    wide, narrow = changed.seconds_per_step, plain.seconds_per_step
    assert wide.low <= narrow.low <= narrow.high < wide.high


def test_float32_has_twice_the_bytes_to_move() -> None:
    card, rates = MODELS["t2v-1.3B"], Rates(bus_gb_per_second=10)
    resident, moved = (
        time_of(plan_of(card.id, p, precision="fp32"), T4, rates) for p in ("resident", "component-offload")
    )
    more = moved.denoise_s.low - resident.denoise_s.low
    assert more > 2 * 2 * transformer_bytes(card.transformer) / 2 / 10e9


def test_loading_is_from_the_page_cache_to_the_object_store() -> None:
    size = weights_bytes(MODELS["t2v-A14B"])
    rates = Rates(object_store_mb_per_second=100, disk_mb_per_second=1000, bus_gb_per_second=20)
    found = time_of(plan_of("t2v-A14B", "resident"), rates=rates).load_s
    assert found.low == pytest.approx(5 + size / 20e9)
    assert found.high == pytest.approx(5 + size / 100e6 + size / 1e9 + size / 20e9)


def test_an_image_that_a_model_must_have_is_encoded() -> None:
    text, image = (time_of(plan_of(m, "resident")).text_s for m in ("t2v-A14B", "i2v-A14B"))
    assert image.low > text.low


def test_a_cpu_compiles_nothing_and_was_measured() -> None:
    found = time_of(plan_of("wan-tiny", "resident", device="cpu"))
    assert found.compile_s == NOTHING
    assert found.basis == "measured"


@given(
    card=st.sampled_from([c for c in RUNNABLE if c.devices == ("cuda",)]),
    gpu=st.sampled_from([g for g in GPUS if g.profile != "older"]),
    frames=st.lists(st.integers(0, 20), min_size=2, max_size=2, unique=True).map(sorted),
)
def test_fewer_frames_never_take_longer(card, gpu, frames):
    plan = plan_of(card.id, "block-streaming", "vae-tiling")
    requests = [request_of(card.id, frames=1 + card.vae.stride_t * n) for n in frames]
    few, many = (estimate_time(plan, card, request, gpu) for request in requests)
    assert few.total.low <= many.total.low
    assert few.total.high <= many.total.high


def test_a_time_is_a_document_that_survives_being_written() -> None:
    found = time_of(plan_of("ti2v-5B", "component-offload"))
    assert TimeEstimate.model_validate_json(found.model_dump_json()) == found


def test_a_pace_is_made_once() -> None:
    gpu = find_gpu(H100)
    assert gpu is not None
    assert find_pace(gpu, "bf16") is find_pace(gpu, "bf16")
