"""Frames to latents and back, in diffusers' AutoencoderKLWan.

The transformer sees latents with a channel's mean taken off, divided by its deviation. Shapes: F frames,
T = (F-1)/4+1 latent frames, C latent channels, H x W pixels, h x w latents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wan_core.errors import InternalError
from wan_core.pipeline.studio import Check, Studio
from wan_core.pipeline.tiles import decode_frames, decode_rows, unfold, wants_tiles
from wan_core.plan.request import Request


@torch.no_grad()
def encode(studio: Studio, video_B3FHW: Tensor) -> Tensor:
    """The likeliest latents [B, C, T, h, w] of pixels in [-1, 1], as the transformer sees them: float32."""
    studio.residency.bring("vae")
    vae = studio.parts.vae
    latents = vae.encode(video_B3FHW.to(studio.residency.device_of("vae"), vae.dtype)).latent_dist.mode()
    mean, deviation = _statistics(vae, latents.device)
    return ((latents.float() - mean) * (1 / deviation)).to(studio.residency.device)


@torch.no_grad()
def decode(
    studio: Studio, request: Request, latents: Tensor, on_frame: Callable[[int], None], check: Check
) -> np.ndarray:
    """Latents [1, C, T, h, w] to frames: uint8 RGB [F, H, W, 3].

    `on_frame(n)` after the n-th latent frame (of a tile, where the VAE works on tiles). InternalError if the
    video is not finite, or not of the size that was asked for.
    """
    studio.residency.bring("vae")
    vae = studio.parts.vae
    mean, deviation = _statistics(vae, latents.device)
    scaled = (latents * deviation + mean).to(studio.residency.device_of("vae"), vae.dtype)
    done = 0

    def after_frame(_module: nn.Module, _args: Any, _output: Any) -> None:
        nonlocal done
        check()
        done += 1
        on_frame(done)

    hook = vae.decoder.register_forward_hook(after_frame)
    try:
        frames = _decode_whole(vae, scaled) if not wants_tiles(vae, scaled) else _decode_tiled(vae, scaled)
    finally:
        hook.remove()
    expected = (request.frames, request.height, request.width, 3)
    if frames.shape != expected:
        raise InternalError(f"the decoded video is {list(frames.shape)}, not {list(expected)}")
    return frames


def check_finite(tensor: Tensor, what: str) -> None:
    """InternalError if `tensor` holds what is not a number: such a video is never shown."""
    bad = int((~torch.isfinite(tensor)).sum())
    if bad:
        raise InternalError(
            f"{what} hold {bad} of {tensor.numel()} values that are not numbers: no video was made of them"
        )


def _decode_whole(vae: Any, latents: Tensor) -> np.ndarray:
    return np.concatenate([_to_uint8(unfold(vae, few)) for few in decode_frames(vae, latents)], axis=0)


def _decode_tiled(vae: Any, latents: Tensor) -> np.ndarray:
    return np.concatenate([_to_uint8(unfold(vae, row)) for row in decode_rows(vae, latents)], axis=1)


def _statistics(vae: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each latent channel: float32 [1, C, 1, 1, 1]."""
    shape = (1, vae.config.z_dim, 1, 1, 1)
    return (
        torch.tensor(vae.config.latents_mean, device=device).view(shape),
        torch.tensor(vae.config.latents_std, device=device).view(shape),
    )


def _to_uint8(video: Tensor) -> np.ndarray:
    """[1, 3, F, H, W] in [-1, 1] to [F, H, W, 3] in 0..255, one frame at a time to bound the memory.

    InternalError if it is not finite.
    """
    check_finite(video, "the decoded video")
    frames = [((f * 0.5 + 0.5) * 255).round().clamp(0, 255).to(torch.uint8) for f in video[0].unbind(1)]
    return torch.stack(frames).permute(0, 2, 3, 1).contiguous().cpu().numpy()
