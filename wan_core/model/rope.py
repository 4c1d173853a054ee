"""Rotary positions in three axes, after RoFormer (arXiv 2104.09864) and Wan's division of a head's pairs."""

from __future__ import annotations

from typing import NamedTuple

import torch

THETA = 10_000.0


class Rope(NamedTuple):
    """Cosine and sine of each token's angles: float32 [L, head_dim / 2] each."""

    cos: torch.Tensor
    sin: torch.Tensor


def build_rope(grid: tuple[int, int, int], head_dim: int, device: torch.device | str = "cpu") -> Rope:
    """Tables for a grid of (t, h, w) tokens, in the order in which `patchify` lays them out.

    Of head_dim / 2 pairs, height and width get head_dim // 6 each, time the rest. Angles are made in float64.
    """
    side = head_dim // 6
    pairs = (head_dim // 2 - 2 * side, side, side)
    angles = [
        torch.outer(torch.arange(length, dtype=torch.float64), _frequencies(count))
        for length, count in zip(grid, pairs, strict=True)
    ]
    t, h, w = grid
    angle = torch.cat(
        [
            angles[0].view(t, 1, 1, -1).expand(t, h, w, -1),
            angles[1].view(1, h, 1, -1).expand(t, h, w, -1),
            angles[2].view(1, 1, w, -1).expand(t, h, w, -1),
        ],
        dim=-1,
    ).reshape(t * h * w, -1)
    return Rope(angle.cos().float().to(device), angle.sin().float().to(device))


def _frequencies(count: int) -> torch.Tensor:
    return THETA ** -(torch.arange(count, dtype=torch.float64) / count)
