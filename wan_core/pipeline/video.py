"""A video in four steps: `load`, `encode_text`, `denoise`, `decode`. Each can be stopped.

`wan_core.pipeline.reference` has the same four, with stock diffusers in the place of our model and loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from wan_core.model.compiled import compile_blocks
from wan_core.pipeline.denoise import denoise
from wan_core.pipeline.known_texts import PARTS, Keep, KnownTexts, find_texts
from wan_core.pipeline.load import Parts, load_parts
from wan_core.pipeline.placement import Residency
from wan_core.pipeline.recipe import SEQUENTIAL, Recipe, Wishes, Work, choose_recipe
from wan_core.pipeline.schedule import build_scheduler, read_schedule
from wan_core.pipeline.studio import Studio, check_fits, latent_shape
from wan_core.pipeline.techniques import (
    apply_techniques,
    choose_dtypes,
    choose_guidance,
    choose_transformer,
    place_of,
)
from wan_core.pipeline.text import encode_text, texts_of
from wan_core.pipeline.vae import decode
from wan_core.plan.request import Request
from wan_core.plan.techniques import Plan
from wan_core.weights.configs import read_config
from wan_core.weights.shards import Tick, read_json, silent
from wan_core.weights.transformer import load_transformer
from wan_core.weights.vae import read_vae_config

__all__ = ["decode", "denoise", "describe", "encode_text", "load"]


def load(
    folder: Path,
    plan: Plan,
    request: Request,
    tick: Tick,
    *,
    wishes: Wishes = Wishes(),  # noqa: B008 - frozen
    picks: Path | None = None,
    keep: Keep | None = None,
    ahead_bytes: int = 0,
    optimizing: Tick = silent,
) -> Studio:
    """The model in `folder` with the plan's techniques applied.

    `picks` keeps what is measured about a GPU. `keep` knows encoded texts: without the text encoder if those
    of the request are among them. `ahead_bytes` is what the disk may bring of parts that come later: host
    memory beyond what the plan needs.

    `tick` counts bytes of weights, `optimizing` what is done with them once they are there: checked, placed,
    packed for streaming. What a GPU is best at is measured before, while its memory is free; blocks are
    compiled by the first step that runs them.

    Raises InvalidInput if the model cannot take the request, IntegrityError if its files are not right.
    """
    recipe = choose_recipe(plan_work(folder, plan, request), wishes, picks)

    def build(path: Path, dtype: torch.dtype, device: str, part_tick: Tick) -> nn.Module:
        model = load_transformer(
            path,
            dtype=dtype,
            device=device,
            tick=part_tick,
            ops=recipe.ops,
            attend=recipe.attend,
            kind=choose_transformer(plan),
        )
        return compile_blocks(model) if recipe.compiled else model

    texts = find_texts(keep, plan, texts_of(request)) if keep is not None else None
    without = PARTS if texts is not None and texts.complete else ()
    parts = load_parts(folder, choose_dtypes(plan), place_of(plan), tick, build, without, ahead_bytes)
    optimizing(0, 1)
    studio = open_studio(parts, plan, request, recipe, texts)
    optimizing(1, 1)
    return studio


def describe(studio: Studio) -> Mapping[str, Any]:
    """What made the video, for its manifest."""
    return studio.recipe.to_dict()


def open_studio(
    parts: Parts, plan: Plan, request: Request, recipe: Recipe, texts: KnownTexts | None = None
) -> Studio:
    """Loaded parts, placed as the plan says."""
    check_fits(parts, request)
    schedule = read_schedule(build_scheduler(parts.scheduler_config, request.shift), request.steps)
    residency = Residency(parts.modules(), torch.device(plan.device))
    apply_techniques(plan, residency)
    return Studio(parts, residency, recipe, schedule, texts)


def plan_work(folder: Path, plan: Plan, request: Request) -> Work:
    """What the transformer in `folder` will be asked for."""
    config = read_config(read_json(folder / "transformer" / "config.json"), "transformer/config.json")
    sizes = latent_shape(read_vae_config(folder / "vae"), request)[2:]
    t, h, w = (size // patch for size, patch in zip(sizes, config.patch, strict=True))
    return Work(
        config=config,
        grid=(t, h, w),
        dtype=choose_dtypes(plan).transformer,
        device=torch.device(plan.device),
        quality=request.quality,
        guidance=choose_guidance(plan) if request.guided else SEQUENTIAL,
        sliced=plan.uses("sliced-attention"),
        streamed=plan.uses("block-streaming"),
    )
