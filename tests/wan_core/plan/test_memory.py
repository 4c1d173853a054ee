from __future__ import annotations

from dataclasses import replace

import pytest

from tests.wan_core.plan.worlds import SMALL, UID, request_of, spec_of
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.models import MODELS
from wan_core.plan.memory import (
    DEVICE_BASE_GIB,
    HOST_BASE_CPU_GIB,
    MemoryEstimate,
    estimate_memory,
    hold,
)
from wan_core.plan.request import Request, fill_request
from wan_core.plan.shapes import (
    block_bytes,
    streamed_block_bytes,
    text_bytes,
    text_projection_bytes,
    transformer_bytes,
    vae_bytes,
)
from wan_core.plan.techniques import Plan


def plan_of(model: str, *techniques: str, device: str = "cuda", precision: str = "bf16") -> Plan:
    return Plan.model_validate({"model": model, "device": device, "techniques": (precision, *techniques)})


def estimate(card: ModelCard, request: Request, *techniques: str, device: str = "cuda") -> MemoryEstimate:
    return estimate_memory(plan_of(card.id, *techniques, device=device), card, request)


def weights_of(card: ModelCard, *techniques: str) -> tuple[float, float, float]:
    held = hold("cuda", techniques, card).device
    return held.text, held.denoise, held.decode


def test_resident_holds_every_expert_and_offload_one() -> None:
    expert, text, vae = (
        transformer_bytes(SMALL.transformer),
        text_bytes(SMALL.text_encoder),
        vae_bytes(SMALL),
    )
    assert weights_of(SMALL, "bf16", "resident") == (text + 2 * expert + vae,) * 3
    assert weights_of(SMALL, "bf16", "component-offload") == (text, expert, vae)


def test_streaming_holds_two_blocks_without_what_projects_texts_and_what_is_no_block() -> None:
    model = SMALL.transformer
    rest = transformer_bytes(model) - model.layers * block_bytes(model)
    assert weights_of(SMALL, "bf16", "block-streaming")[1] == rest + 2 * streamed_block_bytes(model)
    assert block_bytes(model) - streamed_block_bytes(model) == text_projection_bytes(model)


def test_fp32_doubles_what_is_not_kept_in_float32_already() -> None:
    card = MODELS["t2v-1.3B"]
    half, full = (weights_of(card, precision, "component-offload") for precision in ("bf16", "fp32"))
    assert full[0] == 2 * half[0]
    assert full[1] == 4 * card.transformer.parameters < 2 * half[1]
    assert full[2] == half[2]


def test_a_text_encoder_on_the_cpu_leaves_the_device_for_the_host() -> None:
    card, request = MODELS["ti2v-5B"], request_of("ti2v-5B")
    there = estimate(card, request, "resident")
    here = estimate(card, request, "resident", "text-encoder-cpu")
    moved = text_bytes(card.text_encoder) / 2**30
    assert there.denoise_gib - here.denoise_gib == pytest.approx(moved * 1.02, abs=0.02)
    assert here.host_gib - there.host_gib == pytest.approx(moved * 1.02, abs=0.02)
    offloaded = estimate(card, request, "component-offload", "text-encoder-cpu")
    assert offloaded.text_gib == pytest.approx(DEVICE_BASE_GIB, abs=0.02)


def test_on_a_cpu_everything_is_host_memory() -> None:
    memory = estimate(MODELS["wan-tiny"], request_of("wan-tiny"), "resident", device="cpu")
    assert memory.host_gib == memory.peak_gib
    assert HOST_BASE_CPU_GIB < memory.peak_gib < HOST_BASE_CPU_GIB + 0.2
    assert memory.pinned_gib == 0


def test_5b_on_a_4090_is_near_the_published_figure() -> None:
    """22.9 GB on an RTX 4090, of the original code: Wan2.2's comp_effic.png, ti2v-5B at 1280x704x121."""
    memory = estimate(MODELS["ti2v-5B"], request_of("ti2v-5B"), "component-offload")
    assert memory.peak_gib * 2**30 / 1e9 == pytest.approx(22.9, rel=0.05)
    assert memory.peak_phase == "decode"


@pytest.mark.parametrize(
    ("gib", "model", "techniques"),
    [
        pytest.param(7.6, "t2v-1.3B", "component-offload text-encoder-cpu vae-tiling", id="8 GB, 1.3B"),
        pytest.param(7.6, "ti2v-5B", "block-streaming text-encoder-cpu vae-tiling", id="8 GB, 5B"),
        pytest.param(
            7.6, "t2v-A14B", "block-streaming text-encoder-cpu sliced-attention vae-tiling", id="8 GB, A14B"
        ),
        pytest.param(9.6, "t2v-1.3B", "component-offload text-encoder-cpu", id="10 GB, 1.3B, lossless"),
        pytest.param(15.6, "ti2v-5B", "component-offload vae-tiling", id="16 GB, 5B"),
    ],
)
def test_small_cards_have_plans_that_fit_at_the_models_own_size(
    gib: float, model: str, techniques: str
) -> None:
    """Of 8, 10 and 16 GB a driver and a screen leave about 0.4."""
    memory = estimate(MODELS[model], request_of(model), *techniques.split())
    assert memory.peak_gib <= gib


def test_disk_is_the_weights_and_a_gib() -> None:
    memory = estimate(MODELS["t2v-A14B"], request_of("t2v-A14B"), "resident")
    assert memory.disk_gib == pytest.approx(64.98 + 1, abs=0.02)


def test_without_guidance_one_prompt_and_one_pass_are_counted() -> None:
    card, both = MODELS["t2v-A14B"], request_of("t2v-A14B", resolution="832x480", frames=1)
    one = both.model_copy(update={"guidance_high": 1.0, "guidance_low": 1.0})
    guided, alone = (estimate(card, r, "component-offload").denoise_gib for r in (both, one))
    assert guided - alone == pytest.approx(0.39 * 1.02, abs=0.02)  # keys and values of a prompt, 0.39 GiB
    assert estimate(card, one, "component-offload", "guidance-batching").denoise_gib == alone


def test_the_peak_is_that_of_the_largest_phase_of_equals_the_first() -> None:
    memory = MemoryEstimate(text_gib=1, denoise_gib=12.34, decode_gib=3, host_gib=4)
    assert (memory.peak_gib, memory.peak_phase) == (12.34, "denoise")
    assert memory.model_copy(update={"decode_gib": 12.34}).peak_phase == "denoise"


def test_what_is_shown_with_two_digits_is_what_is_compared() -> None:
    memory = estimate(SMALL, fill_request(SMALL, spec_of("small"), UID), "resident")
    for value in memory.model_dump().values():
        assert round(value, 2) == value


def test_a_model_of_one_block_streams_too() -> None:
    short = replace(SMALL, transformer=replace(SMALL.transformer, layers=1))
    assert weights_of(short, "bf16", "block-streaming")[1] > 0
