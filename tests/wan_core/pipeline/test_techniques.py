from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wan_core.plan.request import Request
from wan_core.plan.techniques import TECHNIQUES, Plan

pytestmark = pytest.mark.slow  # imports diffusers

PLACEMENTS = {
    "component-offload": ("bf16", "component-offload"),
    "block-streaming": ("bf16", "block-streaming"),
    "text encoder on the CPU": ("bf16", "resident", "text-encoder-cpu"),
    "both": ("bf16", "component-offload", "text-encoder-cpu"),
    "block-streaming, text encoder on the CPU": ("bf16", "block-streaming", "text-encoder-cpu"),
}


def make_video(folder: Path, techniques: tuple[str, ...], request: Request, image: Any = None) -> Any:
    """Run techniques that are for GPUs on the CPU: the same code, with the CPU in the GPU's place."""
    import torch

    from wan_core.pipeline.load import load_parts
    from wan_core.pipeline.placement import Residency
    from wan_core.pipeline.techniques import apply_techniques, choose_dtypes
    from wan_core.pipeline.video import build_studio, decode, denoise, encode_text

    plan = Plan.model_construct(model="wan-tiny", device="cpu", techniques=techniques)
    parts = load_parts(folder, choose_dtypes(plan), lambda _name: "cpu", lambda _done, _total: None)
    residency = Residency(parts.modules(), torch.device("cpu"))
    apply_techniques(plan, residency)
    studio = build_studio(parts, residency, request)
    prompts = encode_text(studio, request)
    latents = denoise(studio, request, prompts, image, lambda _step: None, lambda: None)
    return decode(studio, request, latents, lambda _frame: None, lambda: None), studio


def test_each_technique_of_the_plan_has_one_implementation() -> None:
    from wan_core.pipeline.techniques import APPLIED, IMPLEMENTATIONS, ORDER, PRECISIONS

    assert set(IMPLEMENTATIONS) == set(TECHNIQUES)
    assert not set(APPLIED) & set(PRECISIONS)
    assert {t for t in TECHNIQUES if TECHNIQUES[t].group == "precision"} == set(PRECISIONS)
    assert {t.group for t in TECHNIQUES.values()} == set(ORDER)


@pytest.mark.parametrize("techniques", PLACEMENTS.values(), ids=PLACEMENTS)
def test_placement_does_not_change_the_video(
    techniques: tuple[str, ...], model_folder: Callable[[str], Path], request_for: Callable[..., Request]
) -> None:
    reference, _ = make_video(model_folder("t2v"), ("bf16", "resident"), request_for())
    video, _ = make_video(model_folder("t2v"), techniques, request_for())
    assert np.array_equal(video, reference)


def test_placement_does_not_change_an_image_to_video(
    model_folder: Callable[[str], Path], request_for: Callable[..., Request]
) -> None:
    from PIL import Image

    request, image = request_for(image="s3://inputs/x.png"), Image.new("RGB", (32, 32), "red")
    reference, _ = make_video(model_folder("i2v"), ("bf16", "resident"), request, image)
    for techniques in (("bf16", "component-offload"), ("bf16", "block-streaming")):
        video, _ = make_video(model_folder("i2v"), techniques, request, image)
        assert np.array_equal(video, reference)


def test_parts_take_turns_on_the_device() -> None:
    import torch

    from wan_core.pipeline.placement import Residency

    parts = {name: torch.nn.Linear(2, 2) for name in ("text_encoder", "transformer", "vae")}
    masters = {name: part.weight.data_ptr() for name, part in parts.items()}
    residency = Residency(dict(parts), torch.device("cpu"))
    residency.keep_on_host("text_encoder")
    residency.take_turns(parts)

    def on_device() -> list[str]:  # a copy has another address than its master, on whatever device
        return [name for name, part in parts.items() if part.weight.data_ptr() != masters[name]]

    assert on_device() == []
    residency.bring("transformer")
    assert on_device() == ["transformer"]
    parts["vae"](torch.zeros(1, 2))  # being called brings a part
    assert on_device() == ["vae"]
    residency.bring("text_encoder")  # runs on the host
    assert on_device() == ["vae"]
    residency.release()
    assert on_device() == []


def test_the_experts_take_turns_within_one_denoising(
    model_folder: Callable[[str], Path], request_for: Callable[..., Request]
) -> None:
    _, studio = make_video(model_folder("t2v"), ("bf16", "component-offload"), request_for())
    turns: list[str] = []
    for name, part in studio.residency.parts.items():
        part.register_forward_pre_hook(lambda _m, _a, name=name: turns.append(name))
    from wan_core.pipeline.video import denoise, encode_text

    prompts = encode_text(studio, request_for(steps=8))
    denoise(studio, request_for(steps=8), prompts, None, lambda _step: None, lambda: None)
    assert list(dict.fromkeys(turns)) == ["text_encoder", "transformer", "transformer_2"]


def test_tiles_are_blended_to_nearly_the_same_video(
    model_folder: Callable[[str], Path], request_for: Callable[..., Request]
) -> None:
    request = request_for(width=288, height=288, frames=1, steps=1)
    whole, _ = make_video(model_folder("t2v"), ("bf16", "resident"), request)
    tiled, studio = make_video(model_folder("t2v"), ("bf16", "resident", "vae-tiling"), request)
    assert studio.parts.vae.use_tiling
    assert not np.array_equal(tiled, whole)
    assert np.abs(tiled.astype(int) - whole.astype(int)).mean() < 8


def test_weights_go_straight_to_where_they_stay() -> None:
    from wan_core.pipeline.techniques import place_of

    def places(*techniques: str) -> list[str]:
        plan = Plan(model="m", device="cuda", techniques=techniques)
        return [place_of(plan)(name) for name in ("text_encoder", "transformer")]

    assert places("bf16", "resident") == ["cuda", "cuda"]
    assert places("bf16", "resident", "text-encoder-cpu") == ["cpu", "cuda"]
    assert places("bf16", "block-streaming") == ["cpu", "cpu"]
