"""Stock diffusers, where it is asked for: its transformer in its own pipelines, to compare ours with.

`load`, `encode_text`, `denoise` and `decode` mean what those of `wan_core.pipeline.video` mean. Guidance is
diffusers': one scale above 1 asks for two passes in every step. Weights are placed as the plan says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import WanImageToVideoPipeline, WanPipeline, WanTransformer3DModel
from PIL import Image
from torch import Tensor, nn

from wan_core.pipeline.denoise import checked
from wan_core.pipeline.load import load_parts
from wan_core.pipeline.recipe import Recipe
from wan_core.pipeline.schedule import build_scheduler
from wan_core.pipeline.studio import Check, Studio
from wan_core.pipeline.techniques import choose_dtypes, place_of
from wan_core.pipeline.text import TEXT_LENGTH, Prompts, clean, count_tokens
from wan_core.pipeline.vae import check_finite, decode
from wan_core.pipeline.video import open_studio
from wan_core.plan.request import Request
from wan_core.plan.techniques import Plan
from wan_core.weights.parts import identify_for_diffusers
from wan_core.weights.shards import Tick, size_of

__all__ = ["decode", "denoise", "describe", "encode_text", "load"]


def describe(_studio: Studio) -> Mapping[str, Any]:
    """What made the video, for its manifest."""
    return {"name": "diffusers", "version": diffusers.__version__}


def load(folder: Path, plan: Plan, request: Request, tick: Tick) -> Studio:
    """The model in `folder` with diffusers' transformer and the plan's techniques applied."""
    parts = load_parts(folder, choose_dtypes(plan), place_of(plan), tick, load_stock)
    return open_studio(parts, plan, request, Recipe())


def load_stock(path: Path, dtype: torch.dtype, device: str, tick: Tick) -> nn.Module:
    """A WanTransformer3DModel, without gradients. Raises IntegrityError if the files are not sound."""
    identify_for_diffusers(path)
    model = WanTransformer3DModel.from_pretrained(
        path, torch_dtype=dtype, local_files_only=True, use_safetensors=True
    )
    tick(size_of(path), size_of(path))
    return model.to(device).eval().requires_grad_(False)


class _Guided:
    """What both pipelines need changed: where they run, and guidance that only the low-noise expert has."""

    run_device: torch.device
    _guidance_scale: float
    _guidance_scale_2: float | None

    @property
    def _execution_device(self) -> torch.device:
        return self.run_device

    @property
    def do_classifier_free_guidance(self) -> bool:
        return max(self._guidance_scale, self._guidance_scale_2 or 0.0) > 1.0


class TextToVideo(_Guided, WanPipeline):
    """diffusers' WanPipeline."""


class ImageToVideo(_Guided, WanImageToVideoPipeline):
    """diffusers' WanImageToVideoPipeline."""


def build_pipeline(studio: Studio, request: Request) -> Any:
    """diffusers' pipeline for the request's kind, of the studio's parts."""
    parts = studio.parts
    pipe = (ImageToVideo if request.image else TextToVideo)(
        tokenizer=parts.tokenizer,
        text_encoder=parts.text_encoder,
        vae=parts.vae,
        scheduler=build_scheduler(parts.scheduler_config, request.shift),
        transformer=parts.transformer,
        transformer_2=parts.transformer_2,
        boundary_ratio=parts.index.boundary_ratio,
        expand_timesteps=parts.index.expand_timesteps,
    )
    pipe.set_progress_bar_config(disable=True)
    pipe.run_device = studio.residency.device
    return pipe


@torch.no_grad()
def encode_text(studio: Studio, request: Request) -> Prompts:
    """Prompt and, where guidance asks for it, negative prompt to text states, padded with zeros to 512."""
    studio.residency.bring("text_encoder")
    positive, negative = build_pipeline(studio, request).encode_prompt(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        do_classifier_free_guidance=request.guided,
        max_sequence_length=TEXT_LENGTH,
        device=studio.residency.device,
    )
    tokens = count_tokens(studio, clean(request.prompt))
    return Prompts(positive, negative, tokens, tokens > TEXT_LENGTH)


def denoise(
    studio: Studio,
    request: Request,
    prompts: Prompts,
    image: Image.Image | None,
    on_step: Callable[[int], None],
    check: Check,
) -> Tensor:
    """Noise to latents [1, C, T, h, w], normalised as the transformer sees them."""
    parts = studio.parts
    if image is not None:
        studio.residency.bring("vae")

    def after_step(_pipe: Any, step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        check()
        on_step(step + 1)
        return tensors

    experts = [parts.transformer, *([parts.transformer_2] if parts.transformer_2 is not None else [])]
    with checked([block for expert in experts for block in expert.blocks], check):
        (latents,) = build_pipeline(studio, request)(
            **({} if image is None else {"image": image}),
            **({"guidance_scale_2": request.guidance_low} if parts.index.two_experts else {}),
            guidance_scale=request.guidance_high,
            prompt_embeds=prompts.positive,
            negative_prompt_embeds=prompts.negative,
            height=request.height,
            width=request.width,
            num_frames=request.frames,
            num_inference_steps=request.steps,
            generator=torch.Generator("cpu").manual_seed(request.seed),
            callback_on_step_end=after_step,
            output_type="latent",
            return_dict=False,
        )
    check_finite(latents, "the denoised latents")
    return latents
