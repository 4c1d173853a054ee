"""Text, noise, frames: the three phases of a video with diffusers' Wan pipelines. Each can be stopped.

Shapes: F frames, T = (F-1)/4+1 latent frames, C latent channels, H x W pixels, h x w latents.
Not covered: batches, last-frame conditioning, LoRA.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import UniPCMultistepScheduler, WanImageToVideoPipeline, WanPipeline
from PIL import Image
from torch import nn

from wan_core.errors import IntegrityError, InternalError, InvalidInput
from wan_core.pipeline.load import Parts
from wan_core.pipeline.placement import Residency
from wan_core.plan.request import Request

Check = Callable[[], None]
"""Raises Interrupted when the attempt is to stop."""

TEXT_LENGTH = 512  # tokens; text_len of every Wan config (wan/configs/shared_config.py)


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


@dataclass(frozen=True)
class Studio:
    """A loaded model ready for one request."""

    parts: Parts
    residency: Residency
    pipe: Any


@dataclass(frozen=True)
class Prompts:
    """Text states [1, 512, D]; `negative` is None without guidance. Tokens as counted before the cut."""

    positive: torch.Tensor
    negative: torch.Tensor | None
    tokens: int
    cut: bool


def build_studio(parts: Parts, residency: Residency, request: Request) -> Studio:
    """The pipeline for the request's kind; InvalidInput if the model cannot take it."""
    _check_fits(parts, request)
    scheduler = UniPCMultistepScheduler.from_config(parts.scheduler_config, flow_shift=request.shift)
    pipe = (ImageToVideo if request.image else TextToVideo)(
        tokenizer=parts.tokenizer,
        text_encoder=parts.text_encoder,
        vae=parts.vae,
        scheduler=scheduler,
        transformer=parts.transformer,
        transformer_2=parts.transformer_2,
        boundary_ratio=parts.index.boundary_ratio,
        expand_timesteps=parts.index.expand_timesteps,
    )
    pipe.set_progress_bar_config(disable=True)
    pipe.run_device = residency.device
    return Studio(parts, residency, pipe)


def encode_text(studio: Studio, request: Request) -> Prompts:
    """Prompt and, where guidance asks for it, negative prompt to text states, padded with zeros to 512."""
    studio.residency.bring("text_encoder")
    with torch.no_grad():
        positive, negative = studio.pipe.encode_prompt(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            do_classifier_free_guidance=request.guided,
            max_sequence_length=TEXT_LENGTH,
            device=studio.residency.device,
        )
    tokens = len(studio.parts.tokenizer(request.prompt).input_ids)
    return Prompts(positive, negative, tokens, tokens > TEXT_LENGTH)


def denoise(
    studio: Studio,
    request: Request,
    prompts: Prompts,
    image: Image.Image | None,
    on_step: Callable[[int], None],
    check: Check,
) -> torch.Tensor:
    """Noise to latents [1, C, T, h, w], normalised as the transformer sees them.

    `on_step(n)` after the n-th step; `check` before every block of the transformer. InternalError if the
    result is not finite.
    """
    if image is not None:
        studio.residency.bring("vae")

    def after_step(_pipe: Any, step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        check()
        on_step(step + 1)
        return tensors

    hooks = [b.register_forward_pre_hook(lambda _m, _a: check()) for b in _transformer_blocks(studio.parts)]
    try:
        (latents,) = studio.pipe(
            **({} if image is None else {"image": image}),
            **_guidance(studio.parts, request),
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
    finally:
        for hook in hooks:
            hook.remove()
    _check_finite(latents, "the denoised latents")
    return latents


def decode(
    studio: Studio, request: Request, latents: torch.Tensor, on_frame: Callable[[int], None], check: Check
) -> np.ndarray:
    """Latents [1, C, T, h, w] to frames: uint8 RGB [F, H, W, 3].

    `on_frame(n)` after the n-th latent frame (of a tile, where the VAE works on tiles).
    """
    studio.residency.bring("vae")
    vae = studio.parts.vae
    done = 0

    def after_frame(_module: nn.Module, _args: Any, _output: Any) -> None:
        nonlocal done
        check()
        done += 1
        on_frame(done)

    hook = vae.decoder.register_forward_hook(after_frame)
    try:
        with torch.no_grad():
            (video,) = vae.decode(_to_vae_scale(latents, vae), return_dict=False)  # [1, 3, F, H, W], -1..1
    finally:
        hook.remove()
    _check_finite(video, "the decoded video")
    frames = _to_uint8(video[0])
    expected = (request.frames, request.height, request.width, 3)
    if frames.shape != expected:
        raise InternalError(f"the decoded video is {list(frames.shape)}, not {list(expected)}")
    return frames


def _to_vae_scale(latents: torch.Tensor, vae: Any) -> torch.Tensor:
    """Undo the normalisation: latents x std + mean, as at the end of diffusers' pipelines."""
    shape = (1, vae.config.z_dim, 1, 1, 1)
    latents = latents.to(device=vae.device, dtype=vae.dtype)
    mean = torch.tensor(vae.config.latents_mean).view(shape).to(latents)
    std = torch.tensor(vae.config.latents_std).view(shape).to(latents)
    return latents * std + mean


def _to_uint8(video: torch.Tensor) -> np.ndarray:
    """[3, F, H, W] in [-1, 1] to [F, H, W, 3] in 0..255, one frame at a time to bound the memory."""
    frames = [((f * 0.5 + 0.5) * 255).round().clamp(0, 255).to(torch.uint8) for f in video.unbind(1)]
    return torch.stack(frames).permute(0, 2, 3, 1).contiguous().cpu().numpy()


def _guidance(parts: Parts, request: Request) -> dict[str, float]:
    if parts.index.two_experts:
        return {"guidance_scale": request.guidance_high, "guidance_scale_2": request.guidance_low}
    return {"guidance_scale": request.guidance_high}


def _transformer_blocks(parts: Parts) -> list[nn.Module]:
    experts = [parts.transformer, *([parts.transformer_2] if parts.transformer_2 is not None else [])]
    return [block for expert in experts for block in expert.blocks]


def _check_fits(parts: Parts, request: Request) -> None:
    takes = parts.transformer.config.in_channels
    latent = parts.vae.config.z_dim
    with_condition = 2 * latent + parts.vae.config.scale_factor_temporal  # noise, mask, condition
    expanded = parts.index.expand_timesteps
    if request.image is None and takes != latent:
        raise InvalidInput(f"spec.image: {request.model} needs an image to start from, and there is none")
    if request.image is not None and takes != (latent if expanded else with_condition):
        raise InvalidInput(f"spec.image: {request.model} makes videos from text alone; leave the image out")
    if parts.vae.config.z_dim != parts.transformer.config.out_channels:
        raise IntegrityError(
            f"VAE of {latent} channels, transformer of {parts.transformer.config.out_channels}"
        )


def _check_finite(tensor: torch.Tensor, what: str) -> None:
    bad = int((~torch.isfinite(tensor)).sum())
    if bad:
        raise InternalError(
            f"{what} hold {bad} of {tensor.numel()} values that are not numbers: no video was made of them"
        )
