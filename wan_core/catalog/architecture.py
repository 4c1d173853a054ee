"""The numbers that describe a model: what a row of the catalogue is made of.

Sources are short keys into `SOURCES` of `models`, one for each group of numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class ModelTask(StrEnum):
    """What a model makes its video from."""

    T2V = "t2v"  # text
    I2V = "i2v"  # text and an image
    TI2V = "ti2v"  # text, and an image if there is one
    S2V = "s2v"  # speech, an image and text
    ANIMATE = "animate"  # a driving video and an image


@dataclass(frozen=True)
class Transformer:
    """A diffusion transformer. `patch` is (t, h, w); channels count latent channels in and out."""

    dim: int
    ffn_dim: int
    heads: int
    layers: int
    in_channels: int
    out_channels: int
    text_dim: int
    freq_dim: int = 256
    text_len: int = 512
    patch: tuple[int, int, int] = (1, 2, 2)
    source: str = ""

    @property
    def block_parameters(self) -> int:
        """Parameters of one block: two attentions of 4 biased projections with RMSNorm on q and k, the
        affine norm before cross-attention, the feed-forward layer, 6 modulation rows."""
        d, f = self.dim, self.ffn_dim
        attention = 4 * (d * d + d) + 2 * d
        return 2 * attention + 2 * d + (2 * d * f + f + d) + 6 * d

    @property
    def parameters(self) -> int:
        """Parameters of the whole transformer, as diffusers' WanTransformer3DModel has (a test counts)."""
        d, patch = self.dim, math.prod(self.patch)
        patch_embedding = self.in_channels * patch * d + d
        time = (self.freq_dim * d + d) + (d * d + d) + (d * 6 * d + 6 * d)
        text = (self.text_dim * d + d) + (d * d + d)
        head = d * self.out_channels * patch + self.out_channels * patch + 2 * d
        return patch_embedding + time + text + self.layers * self.block_parameters + head


@dataclass(frozen=True)
class Vae:
    """A causal video VAE: strides in time and space, latent channels, widths of encoder and decoder."""

    stride_t: int
    stride_hw: int
    z_channels: int
    base_dim: int
    decoder_base_dim: int
    parameters: int
    source: str = ""


@dataclass(frozen=True)
class TextEncoder:
    """A umT5 encoder; `parameters` counts the embedding table too."""

    dim: int
    ffn_dim: int
    heads: int
    layers: int
    vocabulary: int
    parameters: int
    source: str = ""


@dataclass(frozen=True)
class Defaults:
    """What a request takes where it is silent. Guidance is (high, low); both the same for one expert."""

    width: int
    height: int
    frames: int
    fps: int
    steps: int
    guidance: tuple[float, float]
    shift: float
    negative_prompt: str = ""
    source: str = ""


@dataclass(frozen=True)
class ModelCard:
    """One model of the catalogue.

    `experts` is 2 where a high-noise and a low-noise transformer share the steps, switched where the timestep
    falls below `boundary` x 1000. `devices` lists where it may run. `cannot_run` is empty, or why not yet.
    `max_frames` and `max_pixels` (width x height) bound what it is asked for.
    """

    id: str
    title: str
    task: ModelTask
    experts: int
    boundary: float | None
    transformer: Transformer
    vae: Vae
    text_encoder: TextEncoder
    defaults: Defaults
    max_frames: int
    max_pixels: int
    devices: tuple[str, ...] = ("cuda",)
    cannot_run: str = ""
    source: str = ""

    @property
    def stride(self) -> int:
        """Width and height must be multiples of this: VAE stride x patch."""
        return self.vae.stride_hw * self.transformer.patch[1]

    @property
    def needs_image(self) -> bool:
        return self.task in (ModelTask.I2V, ModelTask.S2V, ModelTask.ANIMATE)

    @property
    def takes_image(self) -> bool:
        return self.needs_image or self.task is ModelTask.TI2V
