"""Attention over heads: one function, several ways to compute it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor
from torch.nn import functional as F

Attend: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""q [B, L, H, d], k and v [B, S, H, d] -> [B, L, H, d], contiguous. No mask, scale 1 / sqrt(d)."""


def sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """PyTorch's own choice of backend."""
    return F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)).transpose(
        1, 2
    )
