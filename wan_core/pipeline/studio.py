"""A loaded model ready for one request: what every phase of a video works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wan_core.errors import IntegrityError, InvalidInput
from wan_core.pipeline.known_texts import KnownTexts
from wan_core.pipeline.load import Parts
from wan_core.pipeline.placement import Residency
from wan_core.pipeline.recipe import Recipe
from wan_core.pipeline.schedule import Schedule
from wan_core.plan.request import Request

Check = Callable[[], None]
"""Raises Interrupted when the attempt is to stop."""


@dataclass(frozen=True)
class Studio:
    """The parts, where they lie, how the transformer computes, and the steps of the request.

    `texts` are kept for later requests, and known from earlier ones; None where nothing is kept.
    """

    parts: Parts
    residency: Residency
    recipe: Recipe
    schedule: Schedule
    texts: KnownTexts | None = None


def latent_shape(vae: Mapping[str, Any], request: Request) -> tuple[int, int, int, int, int]:
    """[1, C, T, h, w], by the VAE's config; what it leaves out is as in AutoencoderKLWan."""
    time, space = vae.get("scale_factor_temporal", 4), vae.get("scale_factor_spatial", 8)
    frames = (request.frames - 1) // time + 1
    return 1, vae.get("z_dim", 16), frames, request.height // space, request.width // space


def check_fits(parts: Parts, request: Request) -> None:
    """InvalidInput if the model cannot take what the request brings, IntegrityError if its parts differ."""
    takes, gives = parts.transformer.config.in_channels, parts.transformer.config.out_channels
    latent = parts.vae.config.z_dim
    with_condition = 2 * latent + parts.vae.config.scale_factor_temporal  # noise, mask, condition
    if request.image is None and takes != latent:
        raise InvalidInput(f"spec.image: {request.model} needs an image to start from, and there is none")
    if request.image is not None and takes != (latent if parts.index.expand_timesteps else with_condition):
        raise InvalidInput(f"spec.image: {request.model} makes videos from text alone; leave the image out")
    if latent != gives:
        raise IntegrityError(f"VAE of {latent} channels, transformer of {gives}")
