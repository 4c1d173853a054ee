"""A model of the catalogue at true size, placed as a plan says, and its phases, each counted by itself.

On fake tensors, or on a GPU: then weights are zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from PIL import Image
from torch import Tensor, nn
from transformers import UMT5Config, UMT5EncoderModel

from bench.planning.cases import Case
from bench.transformer.contestants import default_dtype, keep_float32
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.models import MODELS
from wan_core.kernels.attention import efficient, flash
from wan_core.kernels.picks import Pick
from wan_core.model.transformer import FP32, WanTransformer
from wan_core.pipeline import denoise as denoising
from wan_core.pipeline.load import Index, Parts
from wan_core.pipeline.placement import Residency
from wan_core.pipeline.recipe import Recipe
from wan_core.pipeline.schedule import Schedule, State, build_scheduler, read_schedule
from wan_core.pipeline.studio import Studio, latent_shape
from wan_core.pipeline.techniques import (
    apply_techniques,
    choose_guidance,
    choose_transformer,
    place_of,
)
from wan_core.pipeline.text import Prompts, encode_text
from wan_core.pipeline.vae import decode
from wan_core.plan.request import Request
from wan_core.weights.configs import config_of
from wan_core.weights.vae import WAN_21, WAN_22

CUDA = torch.device("cuda", 0)
UNIPC: Mapping[str, Any] = {
    "_class_name": "UniPCMultistepScheduler",
    "prediction_type": "flow_prediction",
    "use_flow_sigmas": True,
    "num_train_timesteps": 1000,
}
"""Of every published Wan's scheduler_config.json: it remembers most."""
TINY_VAE: Mapping[str, Any] = {
    "base_dim": 8, "decoder_base_dim": 16, "num_res_blocks": 1, "is_residual": True,
}  # fmt: skip
VAES: Mapping[tuple[int, int], Mapping[str, Any]] = {(96, 96): WAN_21, (160, 256): WAN_22, (8, 16): TINY_VAE}
"""By the widths of encoder and decoder in the catalogue."""
STEPS = 20


Count = Callable[[Callable[[], Any], Iterable[nn.Module], Iterable[Tensor]], dict[str, int]]
"""Runs a call while modules and tensors are there, and gives peak bytes."""


@dataclass(frozen=True)
class Build:
    """A model that is there, with its parts where the loader puts them, and the plan's techniques applied."""

    case: Case
    parts: Parts
    residency: Residency
    schedule: Schedule


def read_steps(case: Case) -> Schedule:
    """Real numbers: to be read outside of fake tensors."""
    return read_schedule(build_scheduler(UNIPC, MODELS[case.model].defaults.shift), STEPS)


def count_phases(case: Case, schedule: Schedule, count: Count) -> dict[str, dict[str, int]]:
    """Every phase of a case, each by itself: of the phase before only its result is on the GPU."""
    build, request = build_model(case, schedule), case.request
    prompts = make_prompts(build, request)
    states = [states for states in (prompts.positive, prompts.negative) if states is not None]
    latents = torch.zeros(latent_shape(build.parts.vae.config, request), device=CUDA)
    studio, parts = studio_of(build), build.parts.modules().values()
    phases: Mapping[str, tuple[Callable[[], Any], list[Tensor]]] = {
        "text": (lambda: encode_text(studio, request), []),
        "denoise": (lambda: run_denoise(studio, request, prompts), states),
        "decode": (lambda: run_decode(studio, request, latents), [latents, *states]),
    }
    found = {}
    for phase, (call, tensors) in phases.items():
        build.residency.release()
        found[phase] = count(call, parts, tensors)
    return found


def run_denoise(studio: Studio, request: Request, prompts: Prompts) -> Tensor:
    """From the image, if there is one, and noise to latents, by a solver that has made steps before."""
    size = (request.height, request.width, 3)
    image = Image.fromarray(np.zeros(size, dtype=np.uint8)) if request.image else None
    with patch.object(denoising, "begin", begin_in_the_middle):
        return denoising.denoise(studio, request, prompts, image, lambda _: None, lambda: None)


def run_decode(studio: Studio, request: Request, latents: Tensor) -> np.ndarray:
    return decode(studio, request, latents, lambda _: None, lambda: None)


def begin_in_the_middle(schedule: Schedule, noise: Tensor) -> State:
    """All that a solver remembers is there."""
    return (noise, *(torch.zeros_like(noise) if row else None for row in schedule[0].rows[1:]))


def build_model(case: Case, schedule: Schedule) -> Build:
    """Of weights without numbers."""
    card, plan = MODELS[case.model], case.plan
    place, dtype = place_of(plan), torch.float32 if plan.uses("fp32") else torch.bfloat16
    kind, two = choose_transformer(plan), card.experts == 2
    parts = Parts(
        index=Index(two, card.boundary, card.task == "ti2v"),
        tokenizer=Ones(),  # type: ignore[arg-type]
        text_encoder=_text_encoder(card, place("text_encoder"), dtype),
        vae=_vae(card, place("vae")),
        transformer=_transformer(kind, card, place("transformer"), dtype),
        transformer_2=_transformer(kind, card, place("transformer_2"), dtype) if two else None,
        scheduler_config=dict(UNIPC),
    )
    residency = Residency(parts.modules(), CUDA)
    apply_techniques(plan, residency)
    return Build(case, parts, residency, schedule)


def _transformer(
    kind: type[WanTransformer], card: ModelCard, place: str, dtype: torch.dtype
) -> WanTransformer:
    with torch.device(place), default_dtype(dtype):
        model = kind(config_of(card), attend=efficient if dtype is torch.float32 else flash)
    keep_float32(model, FP32)
    return model


def _text_encoder(card: ModelCard, place: str, dtype: torch.dtype) -> UMT5EncoderModel:
    made = card.text_encoder
    config = UMT5Config(
        d_model=made.dim, d_kv=made.dim // made.heads, d_ff=made.ffn_dim, num_heads=made.heads,
        num_layers=made.layers, vocab_size=made.vocabulary,
    )  # fmt: skip
    with torch.device(place), default_dtype(dtype):
        return UMT5EncoderModel(config).eval()


def _vae(card: ModelCard, place: str) -> AutoencoderKLWan:
    with torch.device(place), default_dtype(torch.float32):
        return AutoencoderKLWan(**VAES[card.vae.base_dim, card.vae.decoder_base_dim]).eval()


def studio_of(build: Build) -> Studio:
    """One step of the first expert. The other, if there is one, is as large, and comes when that is gone."""
    full = next(step for step in build.schedule if all(step.rows))
    recipe = Recipe(attend=flash, guidance=Pick(choose_guidance(build.case.plan), "plan"))
    return Studio(build.parts, build.residency, recipe, (full,))


def make_prompts(build: Build, request: Request) -> Prompts:
    """States as `encode_text` leaves them."""
    model = MODELS[build.case.model].transformer
    dtype = build.parts.transformer.text_in.weight.dtype  # type: ignore[union-attr]
    shape = (1, model.text_len, model.text_dim)
    states = [torch.zeros(shape, dtype=dtype, device=CUDA) for _ in range(2 if request.guided else 1)]
    return Prompts(states[0], states[1] if request.guided else None, model.text_len, False)


class Ones:
    """In the tokenizer's place: a prompt of 512 tokens."""

    def __call__(self, _text: str, max_length: int = 512, **_: Any) -> Any:
        ids = torch.ones(1, max_length, dtype=torch.long)
        found = SimpleNamespace(input_ids=ids, attention_mask=ids)
        found.to = lambda device: SimpleNamespace(
            input_ids=ids.to(device), attention_mask=ids.to(device), to=found.to
        )
        return found
