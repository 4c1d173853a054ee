"""Parameter counts against the classes that hold them, built without memory on the meta device."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.wan_core.catalog.classes import build_transformer
from wan_core.catalog.architecture import TextEncoder, Vae
from wan_core.catalog.models import MODELS, OTHERS, UMT5_XXL, VAE_21, VAE_22

pytestmark = pytest.mark.slow

TINY = Path(__file__).parents[3] / "runner" / "wan_runner" / "tiny" / "weights"
# What the catalogue's Vae leaves out of AutoencoderKLWan: diffusers' defaults are Wan2.1's VAE; these are
# Wan-AI/Wan2.2-TI2V-5B-Diffusers/vae/config.json and our own.
VAE_22_CONFIG = {
    "is_residual": True,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "latents_mean": [0.0] * 48,
    "latents_std": [1.0] * 48,
}
TINY_VAE_CONFIG = {"is_residual": True, "num_res_blocks": 1}


def count(module: object) -> int:
    return sum(parameter.numel() for parameter in module.parameters())  # type: ignore[attr-defined]


def build_vae(shape: Vae, more: dict[str, object]) -> object:
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan(
        base_dim=shape.base_dim, decoder_base_dim=shape.decoder_base_dim, z_dim=shape.z_channels, **more
    )


def build_text_encoder(shape: TextEncoder) -> object:
    from transformers import UMT5Config, UMT5EncoderModel

    config = UMT5Config(
        vocab_size=shape.vocabulary,
        d_model=shape.dim,
        d_kv=shape.dim // shape.heads,
        d_ff=shape.ffn_dim,
        num_layers=shape.layers,
        num_heads=shape.heads,
    )
    return UMT5EncoderModel(config)


@pytest.mark.parametrize(
    "card", [card for card in MODELS.values() if not card.cannot_run], ids=lambda card: card.id
)
def test_the_formula_counts_the_parameters_of_the_transformer(card):
    torch = pytest.importorskip("torch")
    with torch.device("meta"):
        assert count(build_transformer(card)) == card.transformer.parameters


@pytest.mark.parametrize(
    ("shape", "more"),
    [
        pytest.param(VAE_21, {}, id="Wan2.1"),
        pytest.param(VAE_22, VAE_22_CONFIG, id="Wan2.2"),
        pytest.param(MODELS["wan-tiny"].vae, TINY_VAE_CONFIG, id="wan-tiny"),
    ],
)
def test_the_parameters_of_the_vae_are_counted_right(shape, more):
    torch = pytest.importorskip("torch")
    with torch.device("meta"):
        assert count(build_vae(shape, more)) == shape.parameters


@pytest.mark.parametrize(
    "shape",
    [pytest.param(UMT5_XXL, id="umT5-XXL"), pytest.param(MODELS["wan-tiny"].text_encoder, id="wan-tiny")],
)
def test_the_parameters_of_the_text_encoder_are_counted_right(shape):
    torch = pytest.importorskip("torch")
    with torch.device("meta"):
        assert count(build_text_encoder(shape)) == shape.parameters


def build_svd() -> dict[str, object]:
    """Stable Video Diffusion: unet/, image_encoder/ and vae/config.json of its repository."""
    from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    vision = CLIPVisionConfig(
        hidden_size=1280,
        intermediate_size=5120,
        num_hidden_layers=32,
        num_attention_heads=16,
        patch_size=14,
        projection_dim=1024,
    )
    return {
        "unet": UNetSpatioTemporalConditionModel(),
        "image_encoder": CLIPVisionModelWithProjection(vision),
        "vae": AutoencoderKLTemporalDecoder(
            down_block_types=("DownEncoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
        ),
    }


def build_animatediff() -> dict[str, object]:
    """Stable Diffusion 1.5 and the motion adapter v1-5-2, by config.json of their repositories."""
    from diffusers import AutoencoderKL, MotionAdapter, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    text = CLIPTextConfig(
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        vocab_size=49408,
    )
    return {
        "unet": UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8),
        "motion_adapter": MotionAdapter(),
        "text_encoder": CLIPTextModel(text),
        "vae": AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
        ),
    }


@pytest.mark.parametrize(
    ("model_id", "build"), [("svd", build_svd), ("svd-xt", build_svd), ("animatediff", build_animatediff)]
)
def test_the_parts_of_other_architectures_are_counted_right(model_id, build):
    torch = pytest.importorskip("torch")
    with torch.device("meta"):
        built = build()
    assert {part.name: part.parameters for part in OTHERS[model_id].parts} == {
        name: count(module) for name, module in built.items()
    }


def read(path: str) -> dict[str, object]:
    return json.loads((TINY / path).read_text())


@pytest.mark.parametrize(("model_id", "folder"), [("wan-tiny", "t2v"), ("wan-tiny-i2v", "i2v")])
def test_the_catalogue_describes_the_weights_that_lie_in_the_tree(model_id, folder):
    card, index = MODELS[model_id], read(f"{folder}/model_index.json")
    shape = card.transformer
    vae, text = read("shared/vae/config.json"), read("shared/text_encoder/config.json")
    transformer = read(f"{folder}/transformer/config.json")
    assert index.get("boundary_ratio") == card.boundary
    assert (index["transformer_2"] != [None, None]) == (card.experts == 2)
    assert read(f"{folder}/scheduler/scheduler_config.json")["flow_shift"] == card.defaults.shift
    assert (transformer["in_channels"], transformer["num_layers"]) == (shape.in_channels, shape.layers)
    assert (vae["base_dim"], vae["decoder_base_dim"], vae["z_dim"]) == (
        card.vae.base_dim,
        card.vae.decoder_base_dim,
        card.vae.z_channels,
    )
    assert (text["vocab_size"], text["d_model"]) == (card.text_encoder.vocabulary, card.text_encoder.dim)
