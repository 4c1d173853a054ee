"""Ours is what diffusers' pipelines make: whole generations in float32, shipped models and others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.wan_core.pipeline.films import make_latents, make_stock, make_video, psnr
from wan_core.plan.request import Request
from wan_core.plan.techniques import Plan
from wan_runner.tiny import model_files

pytestmark = pytest.mark.slow  # imports diffusers

LEAST_DB = 60


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder of a model that ships; `+2` gives it a second expert, of other weights, `+Euler` another
    scheduler.
    """

    def build(name: str) -> Path:
        model, _, change = name.partition("+")
        folder = tmp_path_factory.mktemp(model)
        for path, source in model_files(model).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / path)
        if change:
            {"2": add_expert, "Euler": take_euler}[change](folder)
        return folder

    return build


def add_expert(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder / "transformer", folder / "transformer_2")
    (file,) = (folder / "transformer_2").glob("*.safetensors")
    tensors = load_file(file)
    tensors["proj_out.weight"] = tensors["proj_out.weight"] * 0.9
    save_file(tensors, file)
    index = json.loads((folder / "model_index.json").read_text())
    index |= {"boundary_ratio": 0.9, "transformer_2": ["diffusers", "WanTransformer3DModel"]}
    (folder / "model_index.json").write_text(json.dumps(index))


def take_euler(folder: Path) -> None:
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler"}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))


def draw(size: tuple[int, int] = (64, 64)) -> Any:
    """A blue circle on black, as the i2v model was trained on."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", size)
    ImageDraw.Draw(image).ellipse((10, 22, 30, 42), fill=(41, 92, 245))
    return image


FILM = {"width": 64, "height": 64, "frames": 17, "steps": 8, "prompt": "a blue circle moving right"}
IMAGE = {"image": "s3://inputs/x.png"}
SHIPPED: dict[str, tuple[str, dict[str, Any]]] = {
    "two experts": ("wan-tiny", {"guidance_low": 1.0}),
    "two experts, both guided": ("wan-tiny", {"guidance_low": 1.5, "negative_prompt": "red"}),
    "Euler's steps": ("wan-tiny+Euler", {"guidance_low": 1.0}),
    "a still, not guided": ("wan-tiny", {"frames": 1, "guidance_high": 1.0, "guidance_low": 1.0}),
    "an image": ("wan-tiny-i2v", {**IMAGE, "guidance_low": 2.0}),
    "an image, two experts": ("wan-tiny-i2v+2", {**IMAGE, "guidance_low": 1.5, "steps": 6}),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_latents_and_frames_are_those_of_diffusers(
    name: str, shipped: Callable[[str], Path], request_for: Callable[..., Request]
) -> None:
    import numpy as np

    from wan_core.pipeline.video import decode, load

    model, fields = SHIPPED[name]
    request, folder = request_for(**{**FILM, **fields}), shipped(model)
    image = draw() if request.image else None
    plan = Plan(model="wan-tiny", device="cpu", techniques=("bf16", "resident"))
    studio = load(folder, plan, request, lambda _d, _t: None)
    theirs, their_frames = make_stock(folder, request, image)
    ours = make_latents(studio, request, image)
    assert psnr(ours, theirs) >= LEAST_DB
    frames = decode(studio, request, ours, lambda _n: None, lambda: None)
    assert frames.std() > 5  # a picture
    assert psnr(frames, np.round(their_frames * 255)) >= LEAST_DB


@pytest.mark.parametrize("fields", [{}, IMAGE], ids=["from text", "from an image"])
@pytest.mark.parametrize(
    "techniques",
    [(), ("guidance-batching",), ("sliced-attention",), ("sliced-attention", "guidance-batching")],
    ids="+".join,
)
def test_latents_of_ti2v_are_those_of_diffusers(
    fields: dict[str, Any],
    techniques: tuple[str, ...],
    model_folder: Callable[[str], Path],
    studio_for: Callable[..., Any],
    request_for: Callable[..., Request],
) -> None:
    request = request_for(**fields, width=96, height=64, frames=9, steps=5, negative_prompt="blue")
    image = draw((96, 64)) if request.image else None
    theirs, _ = make_stock(model_folder("ti2v"), request, image)
    ours = make_latents(studio_for("ti2v", request, "bf16", "resident", *techniques), request, image)
    assert psnr(ours, theirs) >= LEAST_DB


@pytest.mark.parametrize("kind", ["t2v", "i2v", "ti2v"])
def test_the_reference_is_diffusers(
    kind: str, model_folder: Callable[[str], Path], request_for: Callable[..., Request]
) -> None:
    """`--reference` runs the stock pipelines through our loading and decoding: to the same bits."""
    import diffusers
    import numpy as np
    import torch

    from wan_core.pipeline import reference

    request = request_for(**({} if kind == "t2v" else IMAGE))
    image = draw((32, 32)) if request.image else None
    plan = Plan(model="wan-tiny", device="cpu", techniques=("bf16", "resident"))
    reports: list[tuple[int, int]] = []
    studio = reference.load(model_folder(kind), plan, request, lambda d, t: reports.append((d, t)))
    assert isinstance(studio.parts.transformer, diffusers.WanTransformer3DModel)
    steps: list[int] = []
    prompts = reference.encode_text(studio, request)
    latents = reference.denoise(studio, request, prompts, image, steps.append, lambda: None)
    theirs, frames = make_stock(model_folder(kind), request, image)
    assert torch.equal(latents, theirs)
    ours = reference.decode(studio, request, latents, lambda _n: None, lambda: None)
    assert np.abs(ours - np.round(frames * 255)).max() <= 1
    assert steps == [1, 2, 3]
    assert reports == sorted(reports)
    assert reference.describe(studio) == {"name": "diffusers", "version": diffusers.__version__}


def test_batched_guidance_is_the_same_video(
    studio_for: Callable[..., Any], request_for: Callable[..., Request]
) -> None:
    request = request_for(steps=4, negative_prompt="a blue square")
    one, both = (
        make_video(studio_for("t2v", request, "bf16", "resident", *more), request)
        for more in ((), ("guidance-batching",))
    )
    assert psnr(both, one) >= LEAST_DB
