"""wan-tiny: the models small enough for a CPU that ship with the runner, as data."""

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

WAN_TINY = ModelCard(
    id="wan-tiny",
    title="coloured shapes that move, two experts of 1.6M, for a CPU in seconds",
    family="wan-tiny",
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
    frame_rule=FrameRule(1, 4, 17, trained=(17,), source="wan-vae wan-tiny"),
    sizes=Sizes(((64, 64),), ("1:1",), 16, 64 * 64, source="wan-vae wan-tiny"),
    licence=Licence("Apache-2.0", commercial="yes", source="wan-tiny"),
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
