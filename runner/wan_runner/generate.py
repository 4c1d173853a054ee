"""Weights and a request to frames: the stages that need torch. Imported only once the weights are there."""

from __future__ import annotations

import logging
import os
import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from PIL import Image

from wan_core.api.words import nearest, printable
from wan_core.errors import InvalidInput
from wan_core.kernels.attention import ALIASES, BACKENDS
from wan_core.pipeline import reference, video
from wan_core.pipeline.known_texts import Keep
from wan_core.pipeline.recipe import BATCHED, SEQUENTIAL, Wishes
from wan_core.pipeline.studio import Studio
from wan_core.plan.request import Request
from wan_core.task import Stage
from wan_core.weights.prepared import Prepared
from wan_core.weights.prepared_folder import read_max_bytes
from wan_runner.bind import Bound
from wan_runner.devices import GIB, count_cpus
from wan_runner.watch import Watch

SWITCHES = {"on": True, "off": False}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clip:
    """A finished video: frames uint8 RGB [F, H, W, 3], and what is worth knowing about its making."""

    frames: np.ndarray
    prompt_tokens: int
    prompt_cut: bool
    peak_device_gib: float
    engine: Mapping[str, Any]


def generate(
    folder: Path,
    bound: Bound,
    request: Request,
    image: Image.Image | None,
    watch: Watch,
    *,
    picks: Path,
    prepared: Path,
    use_reference: bool,
) -> Clip:
    """Run every stage from Loading to Decoding. Raises Interrupted between steps and blocks.

    `picks` keeps what is measured about a GPU, `prepared` what is derived from prompts; `use_reference`
    takes stock diffusers in the place of ours.
    """
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(count_cpus())
    engine = reference if use_reference else video
    keep = Keep(Prepared(prepared, read_max_bytes(os.environ), watch.check), digests_of(folder))
    with watch.stage(Stage.LOADING):
        studio = load(folder, bound, request, watch, picks, keep, use_reference)
    with watch.stage(Stage.ENCODING_TEXT):
        prompts = engine.encode_text(studio, request)
    tell_prepared(keep.prepared, watch)
    with watch.stage(Stage.DENOISING, total=request.steps):
        watch.record.step_done()

        def on_step(done: int) -> None:
            watch.record.step_done()
            watch.report(done, request.steps)

        latents = engine.denoise(studio, request, prompts, image, on_step, watch.check)
    latent_frames = latents.shape[2]
    with watch.stage(Stage.DECODING, total=latent_frames):
        frames = engine.decode(
            studio,
            request,
            latents,
            lambda n: watch.report(min(n, latent_frames), latent_frames),
            watch.check,
        )
    peak = measure_peak(bound.rung.plan.device)
    return Clip(frames, prompts.tokens, prompts.cut, peak, engine.describe(studio))


def load(
    folder: Path,
    bound: Bound,
    request: Request,
    watch: Watch,
    picks: Path,
    keep: Keep,
    use_reference: bool,
) -> Studio:
    """The model with the plan's techniques applied."""
    plan = bound.rung.plan
    if use_reference:
        return reference.load(folder, plan, request, watch.report)
    spare_gib = bound.device.free_gib - bound.rung.memory.peak_gib
    return video.load(
        folder,
        plan,
        request,
        watch.report,
        wishes=read_wishes(os.environ),
        picks=picks,
        spare_bytes=spare_gib * GIB,
        keep=keep,
    )


def digests_of(folder: Path) -> dict[str, str]:
    """The digest of each file of a model in the cache by its path there: what the link to its bytes is
    called. A file that is no link has none.
    """
    links = (path for path in folder.rglob("*") if path.is_symlink())
    return {path.relative_to(folder).as_posix(): path.readlink().name for path in links}


def tell_prepared(prepared: Prepared, watch: Watch) -> None:
    """What was derived before, in the Result and in the log."""
    counts = prepared.counts
    use = {"hits": counts.hits, "misses": counts.misses, "seconds_saved": round(counts.seconds_saved, 3)}
    watch.record.known["prepared"] = use
    if counts.hits:
        log.info("texts known: %(hits)d, encoded: %(misses)d, saved: %(seconds_saved).1f s", use)


def read_wishes(environment: Mapping[str, str]) -> Wishes:
    """WAN_OPS (torch, triton), WAN_ATTENTION (a backend), WAN_GUIDANCE (sequential, batched); and on or off:
    WAN_COMPILE, WAN_CUDA_GRAPHS, WAN_TF32. Empty or absent: not said. Raises InvalidInput.
    """

    def choice(name: str, *choices: str) -> str | None:
        value = environment.get(name) or None
        if value is not None and value not in choices:
            hint = "".join(f"; did you mean {near}?" for near in nearest(value, choices))
            raise InvalidInput(f"{name}: {printable(value)} is not {' or '.join(choices)}{hint}")
        return value

    def switch(name: str) -> bool | None:
        value = choice(name, *SWITCHES)
        return None if value is None else SWITCHES[value]

    return Wishes(
        ops=choice("WAN_OPS", "torch", "triton"),
        attention=choice("WAN_ATTENTION", *BACKENDS, *ALIASES),
        guidance=choice("WAN_GUIDANCE", SEQUENTIAL, BATCHED),
        compiled=switch("WAN_COMPILE"),
        recorded=switch("WAN_CUDA_GRAPHS") or False,
        tf32=switch("WAN_TF32") or False,
    )


def measure_peak(device: str) -> float:
    """Peak memory in GiB: of torch's allocator on a GPU, of the process' resident set on the CPU."""
    if device == "cuda":
        return round(torch.cuda.max_memory_allocated() / GIB, 3)
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes on macOS, KiB on Linux
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB, 3)
