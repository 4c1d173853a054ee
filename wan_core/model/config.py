"""What a transformer is built from. The names are Wan's own (wan/modules/model.py)."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes and variants. `patch` is (t, h, w); channels are those of latents, image conditions included.

    Raises ValueError if the sizes contradict each other.
    """

    dim: int
    ffn_dim: int
    heads: int
    layers: int
    in_channels: int
    out_channels: int
    text_dim: int
    freq_dim: int = 256
    patch: tuple[int, int, int] = (1, 2, 2)
    qk_norm: bool = True
    cross_attn_norm: bool = True
    eps: float = 1e-6

    def __post_init__(self) -> None:
        if self.dim % self.heads or self.head_dim % 2:
            raise ValueError(f"dim {self.dim} is not {self.heads} heads of an even size")

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads

    @property
    def patch_size(self) -> int:
        """Latent values of one channel that make one token."""
        return math.prod(self.patch)
