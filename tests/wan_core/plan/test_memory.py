from __future__ import annotations

from dataclasses import replace

import pytest

from tests.wan_core.plan.worlds import SMALL, UID, request_of, spec_of
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.models import MODELS
from wan_core.plan.memory import (
    DEVICE_BASE_GIB,
    HOST_BASE_CPU_GIB,
    activations,
    estimate_memory,
    forward_bytes_per_token,
    host_weights,
    resident_weights,
)
from wan_core.plan.request import Request, fill_request
from wan_core.plan.shapes import (
    block_bytes,
    count_parameters,
    count_tokens,
    latent_shape,
    pinned_block_bytes,
    text_bytes,
    text_kv_bytes,
    text_projection_bytes,
    transformer_bytes,
    vae_bytes,
)
from wan_core.plan.techniques import Plan


def plan_of(model: str, *techniques: str, device: str = "cuda") -> Plan:
    return Plan.model_validate({"model": model, "device": device, "techniques": ("bf16", *techniques)})


def estimate(card: ModelCard, request: Request, *techniques: str, device: str = "cuda"):  # type: ignore[no-untyped-def]
    return estimate_memory(plan_of(card.id, *techniques, device=device), card, request)


def test_weights_of_a_small_transformer_are_counted_by_hand() -> None:
    d, f = 8, 16
    attention = 4 * (d * d + d) + 2 * d
    block = 2 * attention + (2 * d * f + f + d) + 6 * d + 2 * d
    ends = (16 * 4 + 1) * d + (d + 1) * 16 * 4
    embed = (6 * d + d + d * d + d) + 6 * (d * d + d) + (4 * d + d + d * d + d)
    count = count_parameters(SMALL.transformer)
    assert count.block == block
    assert count.total == 3 * block + ends + embed + 2 * d


@pytest.mark.parametrize(("model", "billions"), [("t2v-A14B", 14.29), ("ti2v-5B", 5.00), ("t2v-1.3B", 1.42)])
def test_published_sizes_come_out_of_the_formula(model: str, billions: float) -> None:
    assert count_parameters(MODELS[model].transformer).total / 1e9 == pytest.approx(billions, abs=0.005)


@pytest.mark.parametrize(
    ("model", "resolution", "frames", "tokens"),
    [
        ("t2v-A14B", "832x480", 81, 32_760),
        ("t2v-A14B", "1280x720", 81, 75_600),
        ("ti2v-5B", "1280x704", 121, 27_280),
        ("wan-tiny", "64x64", 17, 80),
        ("t2v-1.3B", "832x480", 1, 1560),
    ],
)
def test_tokens_are_latent_cells_over_the_patch(
    model: str, resolution: str, frames: int, tokens: int
) -> None:
    assert count_tokens(MODELS[model], request_of(model, resolution=resolution, frames=frames)) == tokens


def test_latents_of_ti2v_are_half_as_wide_again() -> None:
    assert latent_shape(MODELS["ti2v-5B"], request_of("ti2v-5B")) == (31, 44, 80)


@pytest.mark.parametrize(
    ("model", "measured"),
    [("t2v-A14B", 123_404), ("ti2v-5B", 76_470), ("t2v-1.3B", 45_570)],
)
def test_activations_of_a_forward_are_within_half_a_percent_of_the_measurement(
    model: str, measured: int
) -> None:
    """Against the output of `python -m bench.plan_memory`."""
    t = MODELS[model].transformer
    assert forward_bytes_per_token(t.dim, t.ffn_dim, t.heads) == pytest.approx(measured, rel=0.005)


def test_projected_texts_are_counted_for_the_expert_at_work() -> None:
    """Two prompts of 512 rows: 0.42 GB each for the 40 layers of an A14B expert."""
    card, request = MODELS["t2v-A14B"], request_of("t2v-A14B", resolution="832x480", frames=1)
    assert text_kv_bytes(card.transformer) / 1e9 == pytest.approx(0.42, abs=0.005)
    work = activations(plan_of(card.id, "component-offload"), card, request)
    assert work.denoise > 2 * text_kv_bytes(card.transformer)


@pytest.mark.parametrize(
    ("model", "resolution", "frames", "tiled", "measured_gib"),
    [
        ("t2v-A14B", "1280x720", 17, False, 16.875),
        ("t2v-A14B", "1280x720", 33, False, 17.043),
        ("t2v-A14B", "832x480", 33, False, 7.387),
        ("ti2v-5B", "1280x704", 33, False, 18.382),
        ("t2v-A14B", "1280x720", 81, True, 3.893),
        ("t2v-A14B", "832x480", 121, True, 2.523),
        ("ti2v-5B", "1280x704", 121, True, 5.694),
        ("wan-tiny", "64x64", 17, False, 0.020),
    ],
)
def test_decoding_is_never_under_the_measurement_and_little_over(
    model: str, resolution: str, frames: int, tiled: bool, measured_gib: float
) -> None:
    """Against the output of `python -m bench.plan_memory`."""
    from wan_core.plan.memory import decode_bytes

    card, request = MODELS[model], request_of(model, resolution=resolution, frames=frames)
    gib = decode_bytes(card, request, tiled) / 2**30
    assert measured_gib * 0.99 <= gib <= measured_gib * 1.1


def test_resident_holds_every_expert_and_offload_one() -> None:
    card = SMALL
    expert, text, vae = transformer_bytes(card.transformer), text_bytes(card.text_encoder), vae_bytes(card)
    resident = resident_weights(plan_of("small", "resident"), card)
    assert (resident.text, resident.denoise, resident.decode) == (text + 2 * expert + vae,) * 3
    offload = resident_weights(plan_of("small", "component-offload"), card)
    assert (offload.text, offload.denoise, offload.decode) == (text, expert, vae)


def test_streaming_holds_two_blocks_and_what_is_no_block() -> None:
    streamed = resident_weights(plan_of("small", "block-streaming"), SMALL)
    assert streamed.denoise == transformer_bytes(SMALL.transformer) - block_bytes(
        SMALL.transformer
    )  # of 3 blocks
    short = replace(SMALL, transformer=replace(SMALL.transformer, layers=1))
    assert resident_weights(plan_of("small", "block-streaming"), short).denoise == transformer_bytes(
        short.transformer
    )


def test_a_text_encoder_on_the_cpu_leaves_the_device_for_the_host() -> None:
    card, request = MODELS["ti2v-5B"], request_of("ti2v-5B")
    there = estimate(card, request, "resident")
    here = estimate(card, request, "resident", "text-encoder-cpu")
    moved = text_bytes(card.text_encoder) / 2**30
    assert there.denoise_gib - here.denoise_gib == pytest.approx(moved * 1.02, abs=0.02)
    assert here.host_gib - there.host_gib == pytest.approx(moved * 1.02, abs=0.02)
    assert estimate(card, request, "component-offload", "text-encoder-cpu").text_gib == DEVICE_BASE_GIB


def test_offloaded_weights_lie_in_host_memory() -> None:
    every = text_bytes(SMALL.text_encoder) + 2 * transformer_bytes(SMALL.transformer) + vae_bytes(SMALL)
    assert host_weights(plan_of("small", "resident"), SMALL) == 0
    assert host_weights(plan_of("small", "component-offload"), SMALL) == every


def test_streamed_blocks_are_pinned_each_in_a_power_of_two() -> None:
    model = SMALL.transformer
    beside, block = text_projection_bytes(model), block_bytes(model)
    assert (pinned_block_bytes(model) - beside).bit_count() == 1
    assert block <= pinned_block_bytes(model) < 2 * block
    offloaded, streamed = (
        host_weights(plan_of("small", placement), SMALL)
        for placement in ("component-offload", "block-streaming")
    )
    assert streamed - offloaded == block + 2 * 3 * (pinned_block_bytes(model) - block)


def test_a_streamed_block_of_14b_takes_a_gib_and_the_projection_of_texts() -> None:
    model = MODELS["t2v-A14B"].transformer
    assert pinned_block_bytes(model) - text_projection_bytes(model) == 2**30
    assert block_bytes(model) / 2**30 == pytest.approx(0.655, abs=0.001)


def test_on_a_cpu_everything_is_host_memory() -> None:
    memory = estimate(MODELS["wan-tiny"], request_of("wan-tiny"), "resident", device="cpu")
    assert memory.host_gib == memory.peak_gib
    assert HOST_BASE_CPU_GIB < memory.peak_gib < HOST_BASE_CPU_GIB + 0.2


def test_5b_on_a_4090_comes_to_the_published_figure() -> None:
    """22.9 GB on an RTX 4090: Wan2.2's comp_effic.png, ti2v-5B at 1280x704x121."""
    memory = estimate(MODELS["ti2v-5B"], request_of("ti2v-5B"), "component-offload")
    assert memory.peak_gib == pytest.approx(22.9, abs=0.1)
    assert memory.peak_phase == "decode"


def test_what_is_shown_with_two_digits_is_what_is_compared() -> None:
    memory = estimate(SMALL, fill_request(SMALL, spec_of("small"), UID), "resident")
    for value in (memory.text_gib, memory.denoise_gib, memory.decode_gib, memory.host_gib):
        assert round(value, 2) == value
