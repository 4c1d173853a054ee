"""The VAE's operations against those that its modules would do, counted without doing them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.wan_core.catalog.test_parameters import VAE_22_CONFIG, build_vae
from tests.wan_core.plan.worlds import request_of
from wan_core.catalog.models import MODELS
from wan_core.plan.vae_work import decode_flops, encode_flops

I2V, TI2V = MODELS["i2v-A14B"], MODELS["ti2v-5B"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("card", "more"),
    [pytest.param(I2V, {}, id="Wan2.1"), pytest.param(TI2V, VAE_22_CONFIG, id="Wan2.2")],
)
@pytest.mark.parametrize("frames", [1, 17])
def test_operations_are_those_of_the_modules(card, more, frames):
    torch = pytest.importorskip("torch")
    counter = pytest.importorskip("torch.utils.flop_counter").FlopCounterMode
    request = request_of(card.id, resolution="416x256").model_copy(update={"frames": frames})
    with torch.device("meta"):
        vae = build_vae(card.vae, more).eval()
    stride, t = card.vae.stride_hw, (frames - 1) // 4 + 1
    latents = torch.empty(1, card.vae.z_channels, t, 256 // stride, 416 // stride, device="meta")
    with torch.no_grad(), counter(display=False) as decoding:
        vae.decode(latents)
    with torch.no_grad(), counter(display=False) as encoding:
        vae.encode(torch.empty(1, 3, frames, 256, 416, device="meta"))
    needing = replace(card, task=I2V.task)
    shown = request.model_copy(update={"image": "s3://inputs/a.png"})
    assert decode_flops(card, request) == pytest.approx(decoding.get_total_flops(), rel=0.01)
    assert encode_flops(needing, shown) == pytest.approx(encoding.get_total_flops(), rel=0.01)


def test_an_image_that_is_the_first_frame_is_encoded_alone() -> None:
    image = {"image": "s3://inputs/a.png"}
    still, video = (request_of(TI2V.id, frames=frames, **image) for frames in (1, 121))
    assert encode_flops(TI2V, still) == encode_flops(TI2V, video) > 0


def test_a_video_of_text_is_only_decoded() -> None:
    request = request_of("t2v-A14B")
    assert encode_flops(MODELS["t2v-A14B"], request) == 0
    assert decode_flops(MODELS["t2v-A14B"], request) / 1e12 == pytest.approx(626, rel=0.02)
