"""Models of other architectures, as data. People ask for them; the runner has none of these architectures.

Their weights are counted, so that they can be compared; no plan, memory or time is reckoned for them.
"""

from __future__ import annotations

from dataclasses import replace

from wan_core.catalog.architecture import Defaults, FrameRule, Licence, ModelTask, OtherCard, Part, Sizes

SVD = OtherCard(
    id="svd",
    title="Stable Video Diffusion, an image to 14 frames",
    family="Stable Video Diffusion",
    architecture="a U-Net with layers over time, of Stable Diffusion 2.1; EDM noise; an image VAE",
    task=ModelTask.I2V,
    takes_prompt=False,
    defaults=Defaults(1024, 576, 14, 7, 25, (1.0, 3.0), 1.0, source="svd-card svd-script svd-diffusers"),
    frame_rule=FrameRule(14, 1, 14, trained=(14,), source="svd-card"),
    sizes=Sizes(((1024, 576),), ("16:9",), 64, 1024 * 576, source="svd-card svd-script"),
    licence=Licence(
        "Stability AI Community License",
        commercial="up to the yearly revenue that it names; above it by agreement with Stability AI",
        source="svd-licence",
    ),
    parts=(
        Part("unet", 1_524_623_082, "computed"),
        Part("image_encoder", 632_076_800, "computed"),
        Part("vae", 97_742_847, "computed"),
    ),
    alternatives=("ti2v-5B", "i2v-A14B"),
    cannot_run="it is a U-Net, and the runner has Wan's transformer alone",
    source="svd-card",
)

SVD_XT = replace(
    SVD,
    id="svd-xt",
    title="Stable Video Diffusion XT, an image to 25 frames",
    defaults=replace(SVD.defaults, frames=25, steps=30),
    frame_rule=FrameRule(25, 1, 25, trained=(25,), source="svd-card"),
)

ANIMATEDIFF = OtherCard(
    id="animatediff",
    title="AnimateDiff: motion modules in Stable Diffusion 1.5, text to 16 frames",
    family="AnimateDiff",
    architecture="a U-Net for images, Stable Diffusion 1.5 or a fine-tune, with motion modules; an image VAE",
    task=ModelTask.T2V,
    defaults=Defaults(512, 512, 16, 8, 50, (7.5, 7.5), 1.0, source="animatediff-paper animatediff-diffusers"),
    frame_rule=FrameRule(
        1, 1, 1001, trained=(16,), window=16, source="animatediff-paper animatediff-diffusers request"
    ),
    sizes=Sizes(((512, 512), (256, 256)), ("1:1",), 8, 512 * 512, source="animatediff-paper"),
    licence=Licence(
        "Apache-2.0 (motion modules), CreativeML Open RAIL-M (Stable Diffusion 1.5)",
        commercial="yes, within the uses that Open RAIL-M allows",
        source="animatediff-licence",
    ),
    parts=(
        Part("unet", 859_520_964, "computed"),
        Part("motion_adapter", 453_209_280, "computed"),
        Part("text_encoder", 123_060_480, "computed"),
        Part("vae", 83_653_863, "computed"),
    ),
    alternatives=("t2v-1.3B", "ti2v-5B"),
    cannot_run="it is a U-Net with motion modules, and the runner has Wan's transformer alone",
    source="animatediff-paper",
)
