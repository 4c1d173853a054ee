"""Weights and a request to frames: the stages that need torch. Imported only once the weights are there."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from PIL import Image

from wan_core.pipeline.load import load_parts
from wan_core.pipeline.placement import Residency
from wan_core.pipeline.techniques import apply_techniques, choose_dtypes, place_of
from wan_core.pipeline.video import Studio, build_studio, decode, denoise, encode_text
from wan_core.plan.request import Request
from wan_core.plan.techniques import Plan
from wan_core.task import Stage
from wan_runner.devices import GIB, count_cpus
from wan_runner.watch import Watch


@dataclass(frozen=True)
class Clip:
    """A finished video: frames uint8 RGB [F, H, W, 3], and what is worth knowing about its making."""

    frames: np.ndarray
    prompt_tokens: int
    prompt_cut: bool
    peak_device_gib: float


def generate(folder: Path, plan: Plan, request: Request, image: Image.Image | None, watch: Watch) -> Clip:
    """Run every stage from Loading to Decoding. Raises Interrupted between steps and blocks."""
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(count_cpus())
    with watch.stage(Stage.LOADING):
        studio = load(folder, plan, request, watch)
    with watch.stage(Stage.ENCODING_TEXT):
        prompts = encode_text(studio, request)
    with watch.stage(Stage.DENOISING, total=request.steps):
        watch.record.step_done()

        def on_step(done: int) -> None:
            watch.record.step_done()
            watch.report(done, request.steps)

        latents = denoise(studio, request, prompts, image, on_step, watch.check)
    latent_frames = latents.shape[2]
    with watch.stage(Stage.DECODING, total=latent_frames):
        frames = decode(
            studio,
            request,
            latents,
            lambda n: watch.report(min(n, latent_frames), latent_frames),
            watch.check,
        )
    return Clip(frames, prompts.tokens, prompts.cut, measure_peak(plan.device))


def load(folder: Path, plan: Plan, request: Request, watch: Watch) -> Studio:
    """The model with the plan's techniques applied."""
    parts = load_parts(folder, choose_dtypes(plan), place_of(plan), watch.report)
    residency = Residency(parts.modules(), torch.device(plan.device))
    apply_techniques(plan, residency)
    return build_studio(parts, residency, request)


def measure_peak(device: str) -> float:
    """Peak memory in GiB: of torch's allocator on a GPU, of the process' resident set on the CPU."""
    if device == "cuda":
        return round(torch.cuda.max_memory_allocated() / GIB, 3)
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes on macOS, KiB on Linux
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB, 3)
