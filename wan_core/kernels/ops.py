"""The operations of a block as one bundle, chosen when a model is built; the reference of each, in torch.

B samples, L tokens, N groups of L / N tokens that share a timestep, D = H x d channels (H heads of d).
Tokens are bfloat16, float16 or float32; scales, shifts, gates, norm weights and rope tables are float32, and
so is all arithmetic: each result is rounded once, to the dtype of the tokens. Every reference can be
differentiated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

Heads: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""q, k and v, each [B, L, H, d]; views of one tensor perhaps."""


@dataclass(frozen=True)
class Ops:
    """One implementation of each. `name` tells which in reports.

    `modulated_norm` and `rms_norm` leave what they are given as it was; the others may write into their first
    argument where no gradient is wanted.
    """

    name: str
    modulated_norm: Callable[[Tensor, Tensor, Tensor, float], Tensor]
    gated_residual: Callable[[Tensor, Tensor, Tensor], Tensor]
    qk_norm_rope: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, int, float], Heads]
    rms_norm: Callable[[Tensor, Tensor, float], Tensor]
    gelu: Callable[[Tensor], Tensor]


def modulated_norm(x_BLD: Tensor, scale_BND: Tensor, shift_BND: Tensor, eps: float) -> Tensor:
    """LayerNorm without weights, times 1 + scale, plus shift: [B, L, D]."""
    normed = F.layer_norm(x_BLD.float(), x_BLD.shape[-1:], eps=eps)
    grouped = normed.unflatten(1, (scale_BND.shape[1], -1))  # [B, N, L / N, D]
    return (
        torch.addcmul(shift_BND[:, :, None], grouped, 1 + scale_BND[:, :, None]).flatten(1, 2).to(x_BLD.dtype)
    )


def gated_residual(x_BLD: Tensor, y_BLD: Tensor, gate_BND: Tensor) -> Tensor:
    """x + gate * y: [B, L, D]."""
    groups = (gate_BND.shape[1], -1)
    x, y = x_BLD.unflatten(1, groups), y_BLD.unflatten(1, groups)
    return (x.float() + y.float() * gate_BND[:, :, None]).flatten(1, 2).to(x_BLD.dtype)


def qk_norm_rope(
    qkv_BLE: Tensor, weight_q_D: Tensor, weight_k_D: Tensor, cos: Tensor, sin: Tensor, heads: int, eps: float
) -> Heads:
    """RMSNorm over all channels of q and of k, then their rotation. E = 3 D; tables [L, d / 2]."""
    q, k, v = qkv_BLE.chunk(3, dim=-1)
    return (
        rotate(rms_norm(q.float(), weight_q_D, eps), cos, sin, heads).to(q.dtype),
        rotate(rms_norm(k.float(), weight_k_D, eps), cos, sin, heads).to(k.dtype),
        v.unflatten(-1, (heads, -1)),
    )


def rms_norm(x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight, over the last axis (arXiv 1910.07467), in the weight's dtype."""
    return F.rms_norm(x.to(weight_D.dtype), x.shape[-1:], weight_D, eps).to(x.dtype)


def gelu(x: Tensor) -> Tensor:
    """By its tanh approximation (arXiv 1606.08415)."""
    return F.gelu(x, approximate="tanh")


def rotate(x_BLD: Tensor, cos: Tensor, sin: Tensor, heads: int) -> Tensor:
    """Turn each neighbouring pair of a head's channels by its token's angle: [B, L, H, d]."""
    even, odd = x_BLD.unflatten(-1, (heads, -1, 2)).unbind(-1)  # [B, L, H, d / 2]
    cos, sin = cos[:, None], sin[:, None]  # [L, 1, d / 2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


TORCH = Ops("torch", modulated_norm, gated_residual, qk_norm_rope, rms_norm, gelu)
