"""Every variant of the transformer, narrow and shallow, with weights that are the same everywhere.

Weights are drawn by numpy's RandomState, whose numbers never change, under the names that diffusers gives
them; diffusers is imported inside, so that tests of ours alone do without it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, nn

from wan_core.catalog.models import I2V_A14B, T2V_1_3B, T2V_A14B, TI2V_5B, WAN_TINY, WAN_TINY_I2V
from wan_core.kernels.attention import Attend, sdpa
from wan_core.kernels.ops import TORCH, Ops
from wan_core.model.config import TransformerConfig
from wan_core.model.rope import Rope, build_rope
from wan_core.model.transformer import WanTransformer
from wan_core.weights.configs import config_of, write_config
from wan_core.weights.schemes import Scheme
from wan_core.weights.shards import Shape
from wan_core.weights.transformer import shapes_of, to_ours

if TYPE_CHECKING:
    from diffusers import WanTransformer3DModel


def narrow(config: TransformerConfig, heads: int = 2) -> TransformerConfig:
    """The variant with its own channels and size of head, but few of all else."""
    return replace(config, dim=heads * config.head_dim, heads=heads, ffn_dim=3 * 128, layers=2, text_dim=48)


VARIANTS: Mapping[str, TransformerConfig] = {
    "t2v-A14B": narrow(config_of(T2V_A14B)),
    "i2v-A14B": narrow(config_of(I2V_A14B)),
    "ti2v-5B": narrow(config_of(TI2V_5B)),
    "t2v-1.3B": narrow(config_of(T2V_1_3B), heads=1),
    "wan-tiny": config_of(WAN_TINY),
    "wan-tiny-i2v": config_of(WAN_TINY_I2V),
    "without cross_attn_norm": replace(narrow(config_of(T2V_A14B)), cross_attn_norm=False),
    "without qk_norm": replace(narrow(config_of(T2V_A14B)), qk_norm=False),
    "patches in time": replace(narrow(config_of(T2V_A14B)), patch=(2, 2, 1)),
}
SMALL = TransformerConfig(
    dim=24, ffn_dim=32, heads=2, layers=2, in_channels=4, out_channels=4, text_dim=8, freq_dim=16
)
STEPS = 20
PER_FRAME = {"ti2v-5B"}
"""Variants that get a timestep for each latent frame, the first at 0: an image is given."""


@dataclass(frozen=True)
class Inputs:
    """What a forward takes: latents [B, C, T, H, W], timestep [B, N], states [B, S, E] as text is encoded."""

    latents: Tensor
    timestep: Tensor
    states: Tensor
    rope: Rope

    def to(self, dtype: torch.dtype) -> Inputs:
        return replace(self, latents=self.latents.to(dtype), states=self.states.to(dtype))


def draw_inputs(
    config: TransformerConfig,
    size: tuple[int, int, int] = (4, 6, 8),
    batch: int = 2,
    rows: int = 20,
    *,
    per_frame: bool = False,
    seed: int = 0,
) -> Inputs:
    """Latents of `size` (t, h, w), rows of text, timesteps (one a sample, or one a frame, the first at 0)."""
    draw = np.random.RandomState(seed)
    normal = lambda *shape: torch.from_numpy(draw.standard_normal(shape)).float()  # noqa: E731
    grid = tuple(length // patch for length, patch in zip(size, config.patch, strict=True))
    timestep = torch.from_numpy(draw.uniform(1, 999, (batch, grid[0] if per_frame else 1))).float()
    if per_frame:
        timestep[:, 0] = 0
    return Inputs(
        normal(batch, config.in_channels, *size),
        timestep,
        normal(batch, rows, config.text_dim),
        build_rope(grid, config.head_dim),
    )


def inputs_of(name: str, seed: int = 0) -> Inputs:
    """The inputs with which a variant is tried."""
    return draw_inputs(VARIANTS[name], per_frame=name in PER_FRAME, seed=seed)


def build_ours(config: TransformerConfig, ops: Ops = TORCH, attend: Attend = sdpa) -> WanTransformer:
    """Ours with the drawn weights."""
    model = WanTransformer(config, ops, attend).eval()
    stored = draw_weights(shapes_of(config, Scheme.DIFFUSERS))
    model.load_state_dict(to_ours(stored, config, Scheme.DIFFUSERS))
    return model


def build_theirs(config: TransformerConfig) -> WanTransformer3DModel:
    """diffusers' with the same weights. It has no model without norms of q and k: they are taken out."""
    from diffusers import WanTransformer3DModel

    model = WanTransformer3DModel.from_config(write_config(replace(config, qk_norm=True))).eval()
    if not config.qk_norm:
        for block in model.blocks:
            for attention in (block.attn1, block.attn2):
                attention.norm_q = attention.norm_k = nn.Identity()
    model.load_state_dict(draw_weights({key: tuple(t.shape) for key, t in model.state_dict().items()}))
    return model


def draw_weights(shapes: Mapping[str, Shape]) -> dict[str, Tensor]:
    """Weights that keep activations near 1 and leave nothing at 0 or 1; each is a bfloat16 number."""
    return {name: _draw(name, shape).bfloat16().float() for name, shape in shapes.items()}


def _draw(name: str, shape: Shape) -> Tensor:
    normal = torch.from_numpy(np.random.RandomState(crc32(name.encode())).standard_normal(shape)).float()
    if name.endswith("scale_shift_table"):
        return 0.3 * normal
    if len(shape) == 1:  # a bias, or the weight of a norm
        return 1 + 0.2 * normal if "norm" in name and name.endswith("weight") else 0.1 * normal
    return normal / math.prod(shape[1:]) ** 0.5


def cast(model: nn.Module, dtype: torch.dtype, kept: Iterable[str]) -> nn.Module:
    """The model in another dtype, but for what has an element of `kept` in its path."""
    for name, parameter in model.named_parameters():
        if not set(kept) & set(name.split(".")):
            parameter.data = parameter.data.to(dtype)
    return model


def run_ours(model: WanTransformer, inputs: Inputs) -> Tensor:
    return model(inputs.latents, inputs.timestep, model.prepare_text(inputs.states), inputs.rope)


def run_theirs(model: WanTransformer3DModel, inputs: Inputs) -> Tensor:
    """diffusers wants a timestep for each sample, or for each token."""
    timestep, tokens = inputs.timestep, inputs.rope.cos.shape[0]
    per_token = timestep.repeat_interleave(tokens // timestep.shape[1], dim=1)
    return model(
        hidden_states=inputs.latents,
        timestep=timestep[:, 0] if timestep.shape[1] == 1 else per_token,
        encoder_hidden_states=inputs.states,
    ).sample


def generate(model: Any, transformer: WanTransformer, seed: int, *, per_frame: bool = False) -> None:
    """Steps of guided denoising: two prompts, a timestep that falls, latents that change."""
    inputs = draw_inputs(SMALL, seed=seed, per_frame=per_frame)
    texts = [transformer.prepare_text(inputs.states * sign) for sign in (1, -1)]
    latents = inputs.latents
    for step in range(STEPS):
        timestep = inputs.timestep * (1 - step / STEPS)
        positive, negative = (model(latents, timestep, text, inputs.rope) for text in texts)
        latents = latents - 0.01 * (negative + 2 * (positive - negative))


def relative_l2(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected.double()).norm() / expected.double().norm())
