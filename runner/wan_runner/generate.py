"""Weights and a request to frames: the stages that need torch. Imported only once the weights are there."""

from __future__ import annotations

import logging
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

from wan_core.phases import Phase
from wan_core.pipeline import reference, video
from wan_core.pipeline.known_texts import Keep
from wan_core.pipeline.recipe import Wishes
from wan_core.pipeline.studio import Studio
from wan_core.plan.request import Request
from wan_core.task import Stage
from wan_core.weights.prepared import Prepared
from wan_core.weights.shards import Tick
from wan_runner.bind import Bound
from wan_runner.devices import GIB, count_cpus, read_host_memory
from wan_runner.method import Method
from wan_runner.watch import Watch

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clip:
    """A finished video: frames uint8 RGB [F, H, W, 3], and what is worth knowing about its making."""

    frames: np.ndarray
    prompt_tokens: int
    prompt_cut: bool
    peak_device_gib: float
    recipe: Mapping[str, Any]


def generate(
    folder: Path, bound: Bound, request: Request, image: Image.Image | None, watch: Watch, method: Method
) -> Clip:
    """Run every stage from Loading to Decoding. Raises Interrupted between steps and blocks."""
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(count_cpus())
    steps = reference if method.use_reference else video
    prepared = Prepared(method.prepared, method.prepared_max_bytes, watch.check)
    with watch.stage(Stage.LOADING):
        keep = Keep(prepared, digests_of(folder), watch.record.namespace)
        studio = load(folder, bound, request, watch, method, keep)
        watch.load(Phase.FINALIZATION, 1, 1)
    with watch.stage(Stage.ENCODING_TEXT):
        prompts = steps.encode_text(studio, request)
    tell_prepared(prepared, watch)
    with watch.stage(Stage.DENOISING, total=request.steps):
        watch.record.step_done()

        def on_step(done: int) -> None:
            watch.record.step_done()
            watch.report(done, request.steps)

        latents = steps.denoise(studio, request, prompts, image, on_step, watch.check)
    latent_frames = latents.shape[2]
    with watch.stage(Stage.DECODING, total=latent_frames):
        frames = steps.decode(
            studio,
            request,
            latents,
            lambda n: watch.report(min(n, latent_frames), latent_frames),
            watch.check,
        )
    peak = measure_peak(bound.rung.plan.device)
    return Clip(frames, prompts.tokens, prompts.cut, peak, steps.describe(studio))


def load(folder: Path, bound: Bound, request: Request, watch: Watch, method: Method, keep: Keep) -> Studio:
    """The model with the plan's techniques applied."""
    plan, tick = bound.rung.plan, loading(watch)
    if method.use_reference:
        return reference.load(folder, plan, request, tick)
    host_bytes = read_host_memory()[1] - bound.rung.memory.host_gib * GIB
    return video.load(
        folder,
        plan,
        request,
        tick,
        wishes=method.wishes or Wishes(),
        picks=method.picks,
        keep=keep,
        ahead_bytes=max(0, int(host_bytes)),
        optimizing=lambda done, total: watch.load(Phase.OPTIMIZATION, done, total),
    )


def loading(watch: Watch) -> Tick:
    """A tick for bytes in memory. Nothing of them was there before the first."""
    begun = False

    def tick(done: int, total: int) -> None:
        nonlocal begun
        if not begun:
            watch.load(Phase.LOADING, 0, total)
            begun = True
        watch.load(Phase.LOADING, done, total)

    return tick


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


def measure_peak(device: str) -> float:
    """Peak memory in GiB: of torch's allocator on a GPU, of the process' resident set on the CPU."""
    if device == "cuda":
        return round(torch.cuda.max_memory_allocated() / GIB, 3)
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes on macOS, KiB on Linux
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB, 3)
