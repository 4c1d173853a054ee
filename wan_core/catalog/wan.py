"""The published Wan models, 2.2 and 2.1, as data. `sources` spells the sources out."""

from __future__ import annotations

from dataclasses import replace

from wan_core.catalog.architecture import (
    Defaults,
    FrameRule,
    Licence,
    ModelCard,
    ModelTask,
    Sizes,
    TextEncoder,
    Transformer,
    Vae,
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

APACHE_22 = Licence("Apache-2.0", commercial="yes", source="wan22-licence")
APACHE_21 = Licence("Apache-2.0", commercial="yes", source="wan21-licence")

WIDE = ("16:9", "9:16")
SIZES_720P = ((1280, 720), (720, 1280))
SIZES_480P = ((832, 480), (480, 832))
SIZES_704P = ((1280, 704), (704, 1280))
SIZES_3_2 = ((1024, 704), (704, 1024))
PIXELS_720P = 1280 * 720

SIZES_A14B = Sizes((*SIZES_720P, *SIZES_480P), WIDE, 16, PIXELS_720P, source="wan22-config wan-vae")
FRAMES_81 = FrameRule(1, 4, 161, trained=(81,), source="wan-vae wan-shared bound")

T2V_A14B = ModelCard(
    id="t2v-A14B",
    title="Wan2.2 text to video, two experts of 14B",
    family="Wan2.2",
    task=ModelTask.T2V,
    experts=2,
    boundary=0.875,
    transformer=DIT_14B,
    vae=VAE_21,
    text_encoder=UMT5_XXL,
    defaults=Defaults(
        1280, 720, 81, 16, 40, (4.0, 3.0), 12.0, NEGATIVE, "wan22-config wan22-generate wan-shared"
    ),
    frame_rule=FRAMES_81,
    sizes=SIZES_A14B,
    licence=APACHE_22,
    alternatives=("ti2v-5B", "t2v-1.3B"),
    source="wan22-config",
)

I2V_A14B = replace(
    T2V_A14B,
    id="i2v-A14B",
    title="Wan2.2 image to video, two experts of 14B",
    task=ModelTask.I2V,
    boundary=0.900,
    transformer=DIT_14B_IMAGE,
    defaults=replace(T2V_A14B.defaults, guidance=(3.5, 3.5), shift=5.0),
    sizes=replace(SIZES_A14B, by_area=True, source="wan22-config wan22-generate wan-vae"),
    alternatives=("ti2v-5B",),
)

TI2V_5B = ModelCard(
    id="ti2v-5B",
    title="Wan2.2 text, and an image if given, to video, 5B",
    family="Wan2.2",
    task=ModelTask.TI2V,
    transformer=DIT_5B,
    vae=VAE_22,
    text_encoder=UMT5_XXL,
    defaults=Defaults(1280, 704, 121, 24, 50, (5.0, 5.0), 5.0, NEGATIVE, "wan22-config wan-shared"),
    frame_rule=FrameRule(1, 4, 241, trained=(121,), source="wan-vae wan22-config bound"),
    sizes=Sizes(SIZES_704P, WIDE, 32, 1280 * 704, source="wan22-config wan-vae"),
    licence=APACHE_22,
    alternatives=("t2v-A14B", "i2v-A14B", "t2v-1.3B"),
    source="wan22-config",
)

T2V_1_3B = ModelCard(
    id="t2v-1.3B",
    title="Wan2.1 text to video, 1.3B",
    family="Wan2.1",
    task=ModelTask.T2V,
    transformer=DIT_1_3B,
    vae=VAE_21,
    text_encoder=UMT5_XXL,
    defaults=Defaults(
        832, 480, 81, 16, 50, (6.0, 6.0), 8.0, NEGATIVE, "wan21-config wan21-readme wan-shared"
    ),
    frame_rule=FRAMES_81,
    sizes=Sizes(SIZES_480P, WIDE, 16, PIXELS_720P, source="wan21-config wan21-readme wan-vae"),
    licence=APACHE_21,
    alternatives=("ti2v-5B", "t2v-A14B"),
    source="wan21-config wan21-readme",
)

S2V_14B = ModelCard(
    id="s2v-14B",
    title="Wan2.2 speech and an image to video, 14B",
    family="Wan2.2",
    task=ModelTask.S2V,
    transformer=DIT_14B,
    vae=VAE_21,
    text_encoder=UMT5_XXL,
    defaults=Defaults(
        1280, 720, 80, 16, 40, (4.5, 4.5), 3.0, NEGATIVE_S2V, "wan22-config wan22-generate wan-shared"
    ),
    frame_rule=FrameRule(4, 4, 160, trained=(80,), source="wan22-generate bound"),
    sizes=Sizes(
        (*SIZES_720P, *SIZES_480P, *SIZES_3_2),
        (*WIDE, "3:2", "2:3"),
        16,
        PIXELS_720P,
        by_area=True,
        source="wan22-config wan22-generate wan-vae",
    ),
    licence=APACHE_22,
    alternatives=("i2v-A14B", "ti2v-5B"),
    cannot_run="it needs speech, and a request cannot carry audio yet",
    source="wan22-config",
)

ANIMATE_14B = ModelCard(
    id="animate-14B",
    title="Wan2.2 character animation from a driving video and an image, 14B",
    family="Wan2.2",
    task=ModelTask.ANIMATE,
    transformer=DIT_14B_IMAGE,
    vae=VAE_21,
    text_encoder=UMT5_XXL,
    defaults=Defaults(
        1280, 720, 77, 30, 20, (1.0, 1.0), 5.0, NEGATIVE, "wan22-config wan22-generate wan-shared"
    ),
    frame_rule=FrameRule(1, 4, 153, trained=(77,), source="wan-vae wan22-generate bound"),
    sizes=Sizes(SIZES_720P, WIDE, 16, PIXELS_720P, source="wan22-config wan-vae"),
    licence=APACHE_22,
    alternatives=("i2v-A14B", "ti2v-5B"),
    cannot_run="it needs a driving video, and a request cannot carry one yet",
    source="wan22-config",
)
