"""What is measured: a model of the catalogue at a shape, and the work in one forward of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from wan_core.catalog.architecture import ModelCard, Transformer
from wan_core.catalog.models import T2V_1_3B, T2V_A14B, TI2V_5B, WAN_TINY


@dataclass(frozen=True)
class Workload:
    """`latents` is (T, H, W)."""

    name: str
    card: ModelCard
    latents: tuple[int, int, int]

    @property
    def transformer(self) -> Transformer:
        return self.card.transformer

    @property
    def expand_timesteps(self) -> bool:
        """Whether diffusers' pipeline gives this model a timestep a token."""
        return self.card.id == TI2V_5B.id

    @property
    def grid(self) -> tuple[int, int, int]:
        """(t, h, w) in tokens."""
        t, h, w = (size // patch for size, patch in zip(self.latents, self.transformer.patch, strict=True))
        return t, h, w

    @property
    def tokens(self) -> int:
        return math.prod(self.grid)

    @property
    def flops(self) -> int:
        """Of one forward: the blocks' matrix products, text keys and values included, and their attention."""
        made = self.transformer
        length, text, dim = self.tokens, made.text_len, made.dim
        linear = 12 * length * dim**2 + 4 * text * dim**2 + 4 * length * dim * made.ffn_dim
        return made.layers * (linear + 4 * length**2 * dim + 4 * length * text * dim)


def at(card: ModelCard, name: str, width: int, height: int, frames: int) -> Workload:
    """A model of the catalogue at a video's size."""
    vae = card.vae
    latents = ((frames - 1) // vae.stride_t + 1, height // vae.stride_hw, width // vae.stride_hw)
    return Workload(name, card, latents)


def shrink(workload: Workload) -> Workload:
    """The same at a size for a CPU in a moment: two narrow layers, a hundred tokens."""
    narrow = replace(workload.transformer, dim=128, ffn_dim=256, heads=2, layers=2, text_dim=64, freq_dim=64)
    card = replace(workload.card, transformer=narrow)
    return Workload(f"{workload.name}, small", card, latents=(3, 12, 12))


WORKLOADS: Mapping[str, Workload] = MappingProxyType(
    {
        workload.name: workload
        for workload in (
            at(T2V_A14B, "A14B 832x480x81", 832, 480, 81),
            at(T2V_A14B, "A14B 1280x720x81", 1280, 720, 81),
            at(TI2V_5B, "5B 1280x704x121", 1280, 704, 121),
            at(T2V_1_3B, "1.3B 832x480x81", 832, 480, 81),
        )
    }
)
A14B_480P, A14B_720P, TI2V_704P, SMALL_480P = WORKLOADS

TINY = at(WAN_TINY, "wan-tiny 64x64x17", 64, 64, 17)
SLICE = at(
    replace(T2V_1_3B, transformer=replace(T2V_1_3B.transformer, layers=12)),
    "1.3B, 12 layers, 256x256x5", 256, 256, 5,
)  # fmt: skip
"""What a CPU can measure at true width."""
