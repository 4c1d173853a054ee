"""One attempt, stage by stage: bind, check the image, fetch, generate, encode, upload.

What is light comes first, so that a request that cannot work fails before a weight is fetched or torch is
imported.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from wan_core.api.status import OutputStatus
from wan_core.catalog.architecture import ModelCard
from wan_core.errors import InvalidInput, WanError
from wan_core.phases import Phase
from wan_core.pipeline.faults import typed_faults
from wan_core.plan.image_fit import Checked
from wan_core.plan.request import Request
from wan_core.task import IMAGE_MAX_BYTES, Stage, Task, WeightsUse
from wan_runner import store
from wan_runner.advice import Load, advised
from wan_runner.bind import Bound, bind_devices, find_devices
from wan_runner.image import prepare_image
from wan_runner.interrupt import UPLOAD_GRACE_S
from wan_runner.manifest import build_manifest
from wan_runner.method import Method, read_method
from wan_runner.prompt_check import prompt_warnings
from wan_runner.store.s3 import read_input, require_bucket
from wan_runner.store.upload import UploadedObject, upload, withdraw
from wan_runner.watch import Watch

log = logging.getLogger(__name__)

MANIFEST_MAX_BYTES = 2**20  # it holds the Task, of at most 64 KiB, and what is known of the attempt


@dataclass(frozen=True)
class Opening:
    """The image that a video starts from, at the video's size, the digest of the user's own file, and what
    was found and done.
    """

    image: Image.Image
    sha256: str
    checked: Checked

    def tell(self) -> dict[str, Any]:
        """JSON-ready, for the manifest."""
        return {"sha256": self.sha256, **self.checked.to_dict()}


@dataclass(frozen=True)
class Made:
    """A video on this machine, before it is uploaded."""

    path: Path
    frames: int
    prompt_tokens: int
    prompt_cut: bool
    recipe: Mapping[str, Any]
    opening: Opening | None


def make_video(task: Task, cache: Path, watch: Watch, *, use_reference: bool = False) -> OutputStatus:
    """Do everything; returns only once the video and its manifest are in S3 and were verified there.

    With `use_reference` stock diffusers makes it.
    """
    with watch.stage(Stage.STARTING, grace_s=0):
        watch.load(Phase.INITIALIZATION, 0, 0)
        method = read_method(os.environ, cache, use_reference)
        bound, opening = start(task, watch)
    plan = bound.rung.plan
    request, cancel = task.requests[plan.model], watch.interruption.requested
    uri = _join(task.weights, plan.model)
    with ExitStack() as held:
        with advised(lambda: Load(uri, watch.loaded, bound)), typed_faults():
            folder = held.enter_context(store.open_scratch(cache, _scratch_bytes(request), cancel))
            with watch.stage(Stage.FETCHING):
                model = fetch_model(uri, cache, watch, held)
            watch.record.warn(*prompt_warnings(request, task.architecture_of(plan.model), model))
            made = make_file(model, bound, request, opening, folder, watch, method)
        with watch.stage(Stage.UPLOADING, total=made.path.stat().st_size, grace_s=UPLOAD_GRACE_S):
            return upload_outputs(task, bound, made, watch)


def fetch_model(uri: str, cache: Path, watch: Watch, held: ExitStack) -> Path:
    """The model's folder, which stays until `held` is closed: its files may be read as long as it is used."""
    model = held.enter_context(store.fetch(uri, cache, watch.interruption.requested, watch.tell_load))
    receipt = model.receipt
    known = watch.record.known
    known |= {"model_digest": model.digest, "bytes_loaded": receipt.bytes_from_s3}
    watch.record.warn(*receipt.warnings)
    known["weights"] = WeightsUse(
        bytes_cached=receipt.bytes_from_cache,
        bytes_resumed=receipt.resumed,
        hits=receipt.hits,
        misses=receipt.misses,
        retries=receipt.retries,
        evicted_files=receipt.evicted_blobs,
        evicted_bytes=receipt.evicted_bytes,
        seconds_waited=round(receipt.seconds_waited, 3),
    )
    return model.path


def _scratch_bytes(request: Request) -> int:
    """What a video and its manifest take at most before they are uploaded: raw frames are larger than any."""
    return request.width * request.height * 3 * request.frames + MANIFEST_MAX_BYTES


def start(task: Task, watch: Watch) -> tuple[Bound, Opening | None]:
    """Take a plan, and the image that its request needs; see that there is a bucket for the video."""
    devices = find_devices(task)
    watch.record.known["device"] = devices[0].product  # told even where nothing fits
    bound = bind_devices(task, devices)
    plan, request = bound.rung.plan, task.requests[bound.rung.plan.model]
    watch.record.known |= {"plan": plan.label, "device": bound.device.product, "refused": bound.refused}
    for refusal in bound.refused:
        log.info("refused %s", refusal)
    # Logs are collected and kept for longer than prompts should be: the manifest has it, beside the video.
    log.info("plan %s on %s, seed %d", plan.label, bound.device.product, request.seed)
    watch.report(0, 0)
    require_bucket(task.output)
    if request.image is None:
        return bound, None
    return bound, read_opening(request.image, request, task.architecture_of(plan.model), watch)


def read_opening(uri: str, request: Request, card: ModelCard | None, watch: Watch) -> Opening:
    """The first frame. Raises InvalidInput, with the values of each correction, if the image cannot be it."""
    data = read_input(uri, max_bytes=IMAGE_MAX_BYTES)
    image, checked = prepare_image(data, request.width, request.height, request.image_fit, card)
    for change in checked.changes:
        log.info("the image: %s", change)
    watch.record.warn(*checked.warnings)
    return Opening(image, hashlib.sha256(data).hexdigest(), checked)


def make_file(
    model: Path,
    bound: Bound,
    request: Request,
    opening: Opening | None,
    folder: Path,
    watch: Watch,
    method: Method,
) -> Made:
    """Weights to an MP4 in `folder`."""
    with watch.stage(Stage.LOADING, grace_s=0):  # importing torch: nothing would be left half done
        watch.load(Phase.LOADING, 0, 0)
        import torch  # first, for diffusers hides the reason why torch could not be loaded

        from wan_core.devices import route
        from wan_core.pipeline.known_texts import TEXT_LENGTH
        from wan_runner.encode import encode_video
        from wan_runner.generate import generate
    clip = generate(model, bound, request, opening and opening.image, watch, method)
    watch.record.known |= {"peak_device_gib": clip.peak_device_gib, "engine": clip.recipe["name"]}
    log.info("made by %s", json.dumps(clip.recipe))
    likeliest = route(torch.device(bound.rung.plan.device)).attention
    watch.record.warn(*attention_warnings(clip.recipe.get("attention", {}), likeliest))
    if clip.prompt_cut:
        log.warning("of the prompt's %d tokens the first %d were read", clip.prompt_tokens, TEXT_LENGTH)
    path, size = folder / "video.mp4", (request.width, request.height)
    with watch.stage(Stage.ENCODING_VIDEO, total=request.frames):
        frames = encode_video(
            clip.frames, path, size=size, fps=request.fps, on_frame=lambda n: watch.report(n, request.frames)
        )
    return Made(path, frames, clip.prompt_tokens, clip.prompt_cut, clip.recipe, opening)


def attention_warnings(picked: Mapping[str, Any], likeliest: Sequence[str]) -> tuple[str, ...]:
    """Which backends of attention that are likely to be faster than the one that was picked are missing.

    `picked` is as a recipe tells it; `likeliest` names those of the device, likeliest first.
    """
    name, refused = picked.get("name"), picked.get("refused", {})
    better = likeliest[: likeliest.index(name)] if name in likeliest else ()
    missing = [f"{other} ({refused[other]})" for other in better if other in refused]
    if not missing:
        return ()
    return (f"attention: {name}, for what is likely to be faster is missing: {'; '.join(missing)}",)


def upload_outputs(task: Task, bound: Bound, made: Made, watch: Watch) -> OutputStatus:
    """Video first, then the manifest that vouches for it; if the second fails, the first is taken back.

    InvalidInput if another manifest lies there: this attempt was finished once, and what it made is left
    alone.
    """
    cancel = watch.interruption.requested
    video = upload(
        made.path,
        _join(task.output, "video.mp4"),
        "video/mp4",
        _metadata(task),
        cancel=cancel,
        on_progress=watch.tell,
    )
    with ExitStack() as on_failure:
        on_failure.callback(_take_back, video)
        try:
            output = _upload_manifest(task, bound, made, video, watch)
        except InvalidInput:
            on_failure.pop_all()
            raise
        on_failure.pop_all()
    return output


def _take_back(video: UploadedObject) -> None:
    with suppress(WanError):  # the first failure is the one to tell; without a manifest no video counts
        withdraw(video)


def _upload_manifest(
    task: Task, bound: Bound, made: Made, video: UploadedObject, watch: Watch
) -> OutputStatus:
    request = task.requests[bound.rung.plan.model]
    output = OutputStatus(
        uri=video.uri,
        manifest=_join(task.output, "manifest.json"),
        sha256=video.sha256,
        bytes=video.bytes,
        width=request.width,
        height=request.height,
        frames=made.frames,
        fps=request.fps,
    )
    document = build_manifest(
        task,
        bound,
        watch.record,
        output,
        recipe=made.recipe,
        image=made.opening and made.opening.tell(),
        prompt_tokens=made.prompt_tokens,
        prompt_cut=made.prompt_cut,
    )
    path = made.path.with_name("manifest.json")
    path.write_text(json.dumps(document, indent=2) + "\n")
    upload(
        path, str(output.manifest), "application/json", _metadata(task), cancel=watch.interruption.requested
    )
    return output


def _metadata(task: Task) -> dict[str, str]:
    return {"wan-uid": task.uid, "wan-attempt": str(task.attempt)}


def _join(prefix: str, name: str) -> str:
    return f"{prefix.rstrip('/')}/{name}"
