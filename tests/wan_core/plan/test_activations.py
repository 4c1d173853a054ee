"""Formulas against what `python -m bench.planning.memory` counted (docs/benchmarks.md)."""

from __future__ import annotations

import pytest

from tests.wan_core.plan.worlds import request_of
from wan_core.catalog.models import MODELS
from wan_core.plan.activations import (
    Work,
    decode_bytes,
    encode_bytes,
    forward_bytes,
    latents_bytes,
    sliced_token_bytes,
    token_bytes,
)
from wan_core.plan.shapes import count_tokens

BF16 = Work(2)


@pytest.mark.parametrize(
    ("model", "number", "counted"),
    [
        ("t2v-A14B", 2, 122_880),
        ("ti2v-5B", 2, 75_776),
        ("t2v-1.3B", 2, 45_056),
        ("t2v-1.3B", 4, 90_112),
        ("t2v-A14B", 4, 184_320),
    ],
)
def test_a_token_takes_the_larger_of_qk_norms_and_feed_forward(model: str, number: int, counted: int) -> None:
    assert token_bytes(MODELS[model].transformer, number) == counted


def test_by_slices_all_tokens_keep_the_stream_and_q_k_v() -> None:
    model = MODELS["t2v-A14B"].transformer
    whole, sliced = (forward_bytes(model, 75_600, 1, Work(2, sliced=on)) for on in (False, True))
    assert sliced == 75_600 * (8 * 5120 + 4 * 128) + 4096 * sliced_token_bytes(model)
    assert sliced < whole / 2


def test_a_second_sample_doubles_all_but_rotary_tables_and_the_slice() -> None:
    model = MODELS["t2v-1.3B"].transformer
    rope = 10_000 * 4 * 128
    one, two = (forward_bytes(model, 10_000, n, BF16) for n in (1, 2))
    assert two - rope == 2 * (one - rope)
    one, two = (forward_bytes(model, 10_000, n, Work(2, sliced=True)) for n in (1, 2))
    assert two - one == 10_000 * 8 * 1536


@pytest.mark.parametrize(
    ("model", "resolution", "frames", "tiled", "counted_gib"),
    [
        ("t2v-A14B", "1280x720", 81, False, 16.774),
        ("t2v-A14B", "1280x720", 1, False, 5.940),
        ("t2v-A14B", "832x480", 5, False, 6.815),
        ("ti2v-5B", "1280x704", 33, False, 18.096),
        ("t2v-1.3B", "832x480", 81, True, 1.207),
        ("wan-tiny", "64x64", 17, False, 0.0192),
    ],
)
def test_decoding_is_what_was_counted_and_little_over(
    model: str, resolution: str, frames: int, tiled: bool, counted_gib: float
) -> None:
    card, request = MODELS[model], request_of(model, resolution=resolution, frames=frames)
    gib = decode_bytes(card, request, tiled) / 2**30
    most = 1.1 if model == "wan-tiny" else 1.01  # of fewer blocks a level than others of its form
    assert counted_gib * 0.999 <= gib <= counted_gib * most


def test_only_an_image_is_encoded_and_by_tiles_needs_less() -> None:
    card, request = MODELS["i2v-A14B"], request_of("i2v-A14B")
    assert encode_bytes(MODELS["t2v-A14B"], request_of("t2v-A14B"), False) == 0
    assert encode_bytes(card, request, False) / 2**30 == pytest.approx(12.95, rel=0.01)
    assert encode_bytes(card, request, True) < encode_bytes(card, request, False) / 5


def test_an_image_stands_beside_the_noise() -> None:
    text, image = (request_of(model, resolution="832x480") for model in ("t2v-A14B", "i2v-A14B"))
    cells = 21 * 60 * 104
    assert count_tokens(MODELS["i2v-A14B"], image) * 4 == cells
    assert latents_bytes(MODELS["t2v-A14B"], text, 1, 2) == cells * (4 * 5 * 16 + 2 * 16)
    assert latents_bytes(MODELS["i2v-A14B"], image, 1, 2) == cells * (4 * (5 * 16 + 20 + 36) + 2 * 36)
