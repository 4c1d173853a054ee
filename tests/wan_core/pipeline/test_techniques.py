from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

from tests.wan_core.pipeline.films import make_latents, make_video
from wan_core.plan.request import Request
from wan_core.plan.techniques import GROUPS, REQUIRED, TECHNIQUES, Plan

pytestmark = pytest.mark.slow  # imports diffusers

PLACEMENTS = {
    "component-offload": ("bf16", "component-offload"),
    "block-streaming": ("bf16", "block-streaming"),
    "text encoder on the CPU": ("bf16", "resident", "text-encoder-cpu"),
    "both": ("bf16", "component-offload", "text-encoder-cpu"),
    "block-streaming, text encoder on the CPU": ("bf16", "block-streaming", "text-encoder-cpu"),
}


def test_each_technique_of_the_plan_has_one_implementation() -> None:
    from wan_core.pipeline.techniques import APPLIED, BUILT, GUIDANCE, IMPLEMENTATIONS, ORDER, PRECISIONS

    kinds = {"precision": PRECISIONS, "attention": BUILT, "guidance": GUIDANCE}
    assert set(IMPLEMENTATIONS) == set(TECHNIQUES)
    assert sum(map(len, (*kinds.values(), APPLIED))) == len(TECHNIQUES)
    for group, found in kinds.items():
        assert {t for t in TECHNIQUES if TECHNIQUES[t].group == group} == set(found)
    assert {TECHNIQUES[t].group for t in APPLIED} == set(ORDER)


@pytest.mark.parametrize(
    ("capability", "precision", "dtype"),
    [((8, 6), "bf16", "bfloat16"), ((7, 5), "fp32", "float32"), ((6, 1), "fp32", "float32")],
    ids=["Ampere", "Turing", "Pascal"],
)
def test_a_gpu_computes_in_the_precision_of_its_plan_or_refuses(
    capability: tuple[int, int], precision: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from wan_core.errors import IncompatibleHardware
    from wan_core.pipeline.techniques import choose_dtypes

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: [f"sm_{capability[0]}{capability[1]}"])
    found = choose_dtypes(Plan(model="m", device="cuda", techniques=(precision, "resident")))
    assert {found.transformer, found.text_encoder} == {getattr(torch, dtype)}
    assert found.vae is torch.float32
    if precision == "fp32":
        with pytest.raises(IncompatibleHardware, match="has no bfloat16"):
            choose_dtypes(Plan(model="m", device="cuda", techniques=("bf16", "resident")))


def combinations() -> Iterator[tuple[str, ...]]:
    """Every set of techniques that a plan can hold."""
    for chosen in product(*(choices(group) for group in GROUPS)):
        yield tuple(technique for technique in chosen if technique)


def choices(group: str) -> list[str]:
    found = [technique.id for technique in TECHNIQUES.values() if technique.group == group]
    return found if group in REQUIRED else ["", *found]


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """A small request is several slices and, of a studio that is handed over, several tiles."""
    from wan_core.model import sliced

    monkeypatch.setattr(sliced, "SLICE_TOKENS", 3)

    def cut(studio: Any) -> None:
        vae = studio.parts.vae
        vae.tile_sample_min_height = vae.tile_sample_min_width = 24
        vae.tile_sample_stride_height = vae.tile_sample_stride_width = 16

    return cut


@pytest.mark.parametrize("tiling", [(), ("vae-tiling",)], ids=["whole", "tiles"])
def test_whatever_is_combined_the_video_is_the_same(
    tiling: tuple[str, ...],
    small_pieces: Callable[[Any], None],
    studio_for: Callable[..., Any],
    request_for: Callable[..., Request],
) -> None:
    """Another order of sums may move a pixel by one of 255 levels; tiles are compared among themselves."""

    def video_of(*techniques: str) -> np.ndarray:
        studio = studio_for("t2v", request_for(), *techniques)
        small_pieces(studio)
        return make_video(studio, request_for()).astype(int)

    expected = video_of("bf16", "resident", *tiling)
    found = {t: video_of(*t) for t in combinations() if ("vae-tiling" in t) == bool(tiling)}
    assert len(found) == 48
    far = {"+".join(t): int(np.abs(video - expected).max()) for t, video in found.items()}
    assert {name: most for name, most in far.items() if most > 1} == {}


@pytest.mark.parametrize("techniques", PLACEMENTS.values(), ids=PLACEMENTS)
def test_placement_does_not_change_the_video(
    techniques: tuple[str, ...], studio_for: Callable[..., Any], request_for: Callable[..., Request]
) -> None:
    video = make_video(studio_for("t2v", request_for(), *techniques), request_for())
    assert np.array_equal(video, make_video(studio_for("t2v", request_for()), request_for()))


@pytest.mark.parametrize("kind", ["i2v", "ti2v"])
def test_placement_does_not_change_an_image_to_video(
    kind: str, studio_for: Callable[..., Any], request_for: Callable[..., Request]
) -> None:
    from PIL import Image

    request, image = request_for(image="s3://inputs/x.png"), Image.new("RGB", (32, 32), "red")
    expected = make_video(studio_for(kind, request), request, image)
    for placement in ("component-offload", "block-streaming"):
        studio = studio_for(kind, request, "bf16", placement)
        assert np.array_equal(make_video(studio, request, image), expected)


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


@pytest.mark.parametrize("placement", ["component-offload", "block-streaming"])
def test_the_experts_take_turns_within_one_denoising(
    placement: str, studio_for: Callable[..., Any], request_for: Callable[..., Request]
) -> None:
    request = request_for(steps=8)
    studio = studio_for("t2v", request, "bf16", placement)
    turns: list[tuple[str, str | None]] = []
    for name, part in studio.residency.parts.items():
        part.register_forward_hook(
            lambda _m, _a, _o, name=name: turns.append((name, studio.residency.present))
        )
    make_latents(studio, request)
    assert {name for name, _ in turns} == {"text_encoder", "transformer", "transformer_2"}
    assert all(name == present for name, present in turns)
    names = [name for name, _ in turns]
    assert names == sorted(names)  # one after the other, none twice: by luck the alphabet's order


def test_tiles_are_blended_to_nearly_the_same_video(
    studio_for: Callable[..., Any], request_for: Callable[..., Request]
) -> None:
    request = request_for(width=288, height=288, frames=1, steps=1)
    whole = make_video(studio_for("t2v", request), request)
    studio = studio_for("t2v", request, "bf16", "resident", "vae-tiling")
    tiled = make_video(studio, request)
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
