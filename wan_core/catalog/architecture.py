"""The numbers that describe a model: what a row of the catalogue is made of.

Sources are keys into `SOURCES` of `sources`, several apart by spaces, one for each group of numbers.
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
class FrameRule:
    """How many frames a model makes: `first` + k x `step`, at most `most`; taught with `trained` of them.

    With a `window`, more frames than that are made as windows of so many that overlap.
    """

    first: int
    step: int
    most: int
    trained: tuple[int, ...]
    window: int | None = None
    source: str = ""

    @property
    def choices(self) -> range:
        """Every number of frames that is allowed, ascending."""
        return range(self.first, self.most + 1, self.step)

    def shorter(self, frames: int) -> list[int]:
        """The allowed numbers below `frames`, ascending, but for 1: a still is no shorter video."""
        return [choice for choice in self.choices if 1 < choice < frames]

    def nearest(self, frames: int) -> tuple[int, ...]:
        """The allowed numbers on either side of `frames`, ascending; an allowed one is the first of them."""
        inside = min(max(frames, self.first), self.choices[-1])
        below = self.first + (inside - self.first) // self.step * self.step
        return tuple(f for f in (below, below + self.step) if f in self.choices)

    @property
    def form(self) -> str:
        """`4k+1`."""
        rest = self.first % self.step
        return f"{self.step}k+{rest}" if rest else f"{self.step}k" if self.step > 1 else "any number"

    @property
    def words(self) -> str:
        """`4k+1, at most 161; 1 is a still`."""
        if len(self.choices) == 1:
            return f"{self.first}, no other number"
        still = "; 1 is a still" if self.first == 1 else f", at least {self.first}"
        windows = f"; beyond {self.window} in windows that overlap" if self.window else ""
        return f"{self.form}, at most {self.choices[-1]}{still}{windows}"


@dataclass(frozen=True)
class Sizes:
    """Which sizes (width, height) a model makes: multiples of `stride`, at most `max_pixels`.

    `trained` are those that it was taught with or is published for, of the aspects `aspects`. With `by_area`
    only their areas count: the aspect is that of the image.
    """

    trained: tuple[tuple[int, int], ...]
    aspects: tuple[str, ...]
    stride: int
    max_pixels: int
    by_area: bool = False
    source: str = ""


@dataclass(frozen=True)
class Bounds:
    """From the least to the most that may be asked for, both included."""

    least: int
    most: int
    source: str = ""


@dataclass(frozen=True)
class Licence:
    """Under what the weights may be used. `commercial` is yes, no, or on which condition."""

    name: str
    commercial: str
    source: str = ""


# No model here is bound tighter than any request is.
STEPS, FPS = Bounds(1, 200, "request"), Bounds(1, 120, "request")
WAN = "Wan: a diffusion transformer over the latents of a causal video VAE, flow matching"


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is known of any model: what it makes, in which shapes, under which licence.

    `family` is the release it belongs to, `architecture` its kind in words. `cannot_run` is empty, or why the
    runner cannot run it. `alternatives` are ids of models that do a similar thing, the nearest first.
    """

    id: str
    title: str
    family: str
    task: ModelTask
    defaults: Defaults
    frame_rule: FrameRule
    sizes: Sizes
    licence: Licence
    architecture: str
    experts: int = 1
    boundary: float | None = None
    steps: Bounds = STEPS
    fps: Bounds = FPS
    takes_prompt: bool = True
    alternatives: tuple[str, ...] = ()
    cannot_run: str = ""
    source: str = ""

    @property
    def stride(self) -> int:
        """Width and height must be multiples of this."""
        return self.sizes.stride

    @property
    def max_pixels(self) -> int:
        """Width x height is at most this."""
        return self.sizes.max_pixels

    @property
    def needs_image(self) -> bool:
        return self.task in (ModelTask.I2V, ModelTask.S2V, ModelTask.ANIMATE)

    @property
    def takes_image(self) -> bool:
        return self.needs_image or self.task is ModelTask.TI2V


@dataclass(frozen=True, kw_only=True)
class ModelCard(Card):
    """A model of the architecture that the runner has. What plans, memory and time are reckoned from.

    `experts` is 2 where a high-noise and a low-noise transformer share the steps, switched where the timestep
    falls below `boundary` x 1000. `devices` lists where it may run. `weights_of` is the built-in model whose
    architecture an administrator's own model has; empty for the built-in ones.
    """

    architecture: str = WAN
    transformer: Transformer
    vae: Vae
    text_encoder: TextEncoder
    devices: tuple[str, ...] = ("cuda",)
    weights_of: str = ""


@dataclass(frozen=True)
class Part:
    """One component of a model of another architecture."""

    name: str
    parameters: int
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class OtherCard(Card):
    """A model of an architecture that the runner does not have: told about, never planned."""

    parts: tuple[Part, ...]
