"""The models, as data. Every group of numbers names its source; `SOURCES` spells the sources out.

A model that cannot run yet is in the table all the same, with the reason: its id is right, its time is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from wan_core.catalog.architecture import Defaults, ModelCard, ModelTask, TextEncoder, Transformer, Vae

SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "wan22-config": "github.com/Wan-Video/Wan2.2 at 42bf4cf (2026-03): wan/configs/*.py, SUPPORTED_SIZES",
        "wan22-generate": "github.com/Wan-Video/Wan2.2 at 42bf4cf: generate.py, --size, --infer_frames",
        "wan21-config": "github.com/Wan-Video/Wan2.1 at 9737cba (2026-03): wan/configs/*.py",
        "wan21-readme": "github.com/Wan-Video/Wan2.1 at 9737cba: README, T2V-1.3B: --sample_shift 8, "
        "--sample_guide_scale 6; generate.py: 50 steps for text-to-video; 720P possible but less stable",
        "wan-shared": "wan/configs/shared_config.py of both repositories: text_len 512, 16 fps, 81 frames, "
        "the negative prompt",
        "computed": "counted on the meta device from what tests/wan_core/catalog/test_parameters.py builds: "
        "diffusers 0.42.1, transformers 5.23.0",
        "wan-tiny": "trained in this repository: bench/wan_tiny",
        "bound": "ours, not the model's: twice the trained length; the largest trained or published size",
    }
)

# Too bright, overexposed, static, blurred, subtitles, ... : what the models were taught to steer away from.
NEGATIVE = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，"
    "JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，"
    "手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"
)
NEGATIVE_S2V = (
    "画面模糊，最差质量，画面模糊，细节模糊不清，情绪激动剧烈，手快速抖动，字幕，丑陋的，残缺的，多余的手指，"
    "画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，"
    "三条腿，背景人很多，倒着走"
)

UMT5_XXL = TextEncoder(
    dim=4096,
    ffn_dim=10240,
    heads=64,
    layers=24,
    vocabulary=256384,
    parameters=5_680_910_336,
    source="computed",
)
VAE_21 = Vae(4, 8, 16, base_dim=96, decoder_base_dim=96, parameters=126_892_531, source="computed")
VAE_22 = Vae(
    4, 16, z_channels=48, base_dim=160, decoder_base_dim=256, parameters=704_688_668, source="computed"
)

DIT_14B = Transformer(
    dim=5120,
    ffn_dim=13824,
    heads=40,
    layers=40,
    in_channels=16,
    out_channels=16,
    text_dim=4096,
    source="wan22-config",
)
DIT_14B_IMAGE = replace(DIT_14B, in_channels=36)  # 16 noise, 4 mask, 16 of the image
DIT_5B = Transformer(
    dim=3072,
    ffn_dim=14336,
    heads=24,
    layers=30,
    in_channels=48,
    out_channels=48,
    text_dim=4096,
    source="wan22-config",
)
DIT_1_3B = Transformer(
    dim=1536,
    ffn_dim=8960,
    heads=12,
    layers=30,
    in_channels=16,
    out_channels=16,
    text_dim=4096,
    source="wan21-config",
)

PIXELS_720P = 1280 * 720

T2V_A14B = ModelCard(
    id="t2v-A14B",
    title="Wan2.2 text to video, two experts of 14B",
    task=ModelTask.T2V,
    experts=2,
    boundary=0.875,
    transformer=DIT_14B,
    vae=VAE_21,
    text_encoder=UMT5_XXL,
    defaults=Defaults(
        1280, 720, 81, 16, 40, (4.0, 3.0), 12.0, NEGATIVE, "wan22-config wan22-generate wan-shared"
    ),
    max_frames=161,
    max_pixels=PIXELS_720P,
    source="wan22-config bound",
)

I2V_A14B = replace(
    T2V_A14B,
    id="i2v-A14B",
    title="Wan2.2 image to video, two experts of 14B",
    task=ModelTask.I2V,
    boundary=0.900,
    transformer=DIT_14B_IMAGE,
    defaults=replace(T2V_A14B.defaults, guidance=(3.5, 3.5), shift=5.0),
)

TI2V_5B = ModelCard(
    id="ti2v-5B",
    title="Wan2.2 text, and an image if given, to video, 5B",
    task=ModelTask.TI2V,
    experts=1,
    boundary=None,
    transformer=DIT_5B,
    vae=VAE_22,
    text_encoder=UMT5_XXL,
    defaults=Defaults(1280, 704, 121, 24, 50, (5.0, 5.0), 5.0, NEGATIVE, "wan22-config wan-shared"),
    max_frames=241,
    max_pixels=1280 * 704,
    source="wan22-config bound",
)

T2V_1_3B = ModelCard(
    id="t2v-1.3B",
    title="Wan2.1 text to video, 1.3B",
    task=ModelTask.T2V,
    experts=1,
    boundary=None,
    transformer=DIT_1_3B,
    vae=VAE_21,
    text_encoder=UMT5_XXL,
    defaults=Defaults(
        832, 480, 81, 16, 50, (6.0, 6.0), 8.0, NEGATIVE, "wan21-config wan21-readme wan-shared"
    ),
    max_frames=161,
    max_pixels=PIXELS_720P,
    source="wan21-config wan21-readme bound",
)

S2V_14B = ModelCard(
    id="s2v-14B",
    title="Wan2.2 speech and an image to video, 14B",
    task=ModelTask.S2V,
    experts=1,
    boundary=None,
    transformer=DIT_14B,
    vae=VAE_21,
    text_encoder=UMT5_XXL,
    defaults=Defaults(
        1280, 720, 80, 16, 40, (4.5, 4.5), 3.0, NEGATIVE_S2V, "wan22-config wan22-generate wan-shared"
    ),
    max_frames=160,
    max_pixels=PIXELS_720P,
    cannot_run="it needs speech, and a request cannot carry audio yet",
    source="wan22-config bound",
)

ANIMATE_14B = ModelCard(
    id="animate-14B",
    title="Wan2.2 character animation from a driving video and an image, 14B",
    task=ModelTask.ANIMATE,
    experts=1,
    boundary=None,
    transformer=DIT_14B_IMAGE,
    vae=VAE_21,
    text_encoder=UMT5_XXL,
    defaults=Defaults(
        1280, 720, 77, 30, 20, (1.0, 1.0), 5.0, NEGATIVE, "wan22-config wan22-generate wan-shared"
    ),
    max_frames=153,
    max_pixels=PIXELS_720P,
    cannot_run="it needs a driving video, and a request cannot carry one yet",
    source="wan22-config bound",
)

WAN_TINY = ModelCard(
    id="wan-tiny",
    title="coloured shapes that move, two experts of 1.6M, for a CPU in seconds",
    task=ModelTask.T2V,
    experts=2,
    boundary=0.875,
    transformer=Transformer(
        dim=128,
        ffn_dim=384,
        heads=4,
        layers=6,
        in_channels=16,
        out_channels=16,
        text_dim=64,
        freq_dim=64,
        source="wan-tiny",
    ),
    vae=Vae(
        4, 8, z_channels=16, base_dim=8, decoder_base_dim=16, parameters=1_955_171, source="wan-tiny computed"
    ),
    text_encoder=TextEncoder(
        dim=64, ffn_dim=128, heads=4, layers=2, vocabulary=271, parameters=99_840, source="wan-tiny computed"
    ),
    defaults=Defaults(64, 64, 17, 8, 20, (2.0, 1.0), 3.0, "", "wan-tiny"),
    max_frames=17,
    max_pixels=64 * 64,
    devices=("cuda", "cpu"),
    source="wan-tiny",
)

WAN_TINY_I2V = replace(
    WAN_TINY,
    id="wan-tiny-i2v",
    title="coloured shapes that move on from an image, 1.6M, for a CPU in seconds",
    task=ModelTask.I2V,
    experts=1,
    boundary=None,
    transformer=replace(WAN_TINY.transformer, in_channels=36),
    defaults=replace(WAN_TINY.defaults, guidance=(1.5, 1.5)),
)

MODELS: Mapping[str, ModelCard] = MappingProxyType(
    {
        card.id: card
        for card in (T2V_A14B, I2V_A14B, TI2V_5B, T2V_1_3B, S2V_14B, ANIMATE_14B, WAN_TINY, WAN_TINY_I2V)
    }
)
