"""What the transformer sees beside the noise: nothing, an image in channels of its own, or a first frame.

As in diffusers' Wan pipelines: Wan 2.2's i2v-A14B gets a mask (one channel for each frame of a latent frame,
1 where the frame is given) and the latents of the image followed by grey; ti2v-5B gets the image's latents as
first frame, at timestep 0. Not covered: a last frame, CLIP's embeddings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from wan_core.pipeline.studio import Studio
from wan_core.pipeline.vae import encode
from wan_core.plan.request import Request

View = Callable[[Tensor], Tensor]
"""Noisy latents [1, C, T, h, w] to what the transformer is given; float32."""


@dataclass(frozen=True)
class Condition:
    """`view` is for every step; `finish` makes the video of the last latents.

    Of `frames` latent frames the first `clean` are not noisy: their timestep is 0.
    """

    view: View
    finish: View
    clean: int = 0


def build_condition(studio: Studio, request: Request, image: Image.Image | None) -> Condition:
    """The condition for the kind of model; `image` is RGB of the video's size."""
    if image is None:
        return Condition(_as_it_is, _as_it_is)
    picture = to_pixels(image)
    if studio.parts.index.expand_timesteps:
        first = encode(studio, picture)

        def begin_with(latents: Tensor) -> Tensor:
            return torch.cat([first, latents[:, :, first.shape[2] :]], dim=2)

        return Condition(begin_with, begin_with, clean=first.shape[2])
    beside = torch.cat(image_channels(studio, request, picture), dim=1)
    return Condition(lambda latents: torch.cat([latents, beside], dim=1), _as_it_is)


def image_channels(studio: Studio, request: Request, picture_B3FHW: Tensor) -> tuple[Tensor, Tensor]:
    """Mask [1, 4, T, h, w] and latents [1, C, T, h, w] of a video: the picture, then grey."""
    grey = picture_B3FHW.new_zeros(1, 3, request.frames - 1, request.height, request.width)
    latents = encode(studio, torch.cat([picture_B3FHW, grey], dim=2))
    mask = latents.new_zeros(1, studio.parts.vae.config.scale_factor_temporal, *latents.shape[2:])
    mask[:, :, 0] = 1
    return mask, latents


def to_pixels(image: Image.Image) -> Tensor:
    """RGB to [1, 3, 1, H, W] in [-1, 1]."""
    pixels = torch.from_numpy(np.asarray(image, dtype=np.float32) / 255)  # [H, W, 3]
    return pixels.permute(2, 0, 1)[None, :, None] * 2 - 1


def _as_it_is(latents: Tensor) -> Tensor:
    return latents
