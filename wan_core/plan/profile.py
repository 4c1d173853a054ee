"""What a GPU can do, and what a model needs: the best plan for the largest trained shape that fits. Pure.

One GPU alone in a node with nothing else on it. Of sizes that differ in orientation only, one stands for
both. Where not even the smallest trained size fits at the model's own length, the video is made shorter.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from wan_core.api.model import Document
from wan_core.api.spec import Quality, Spec
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.gpu_card import GpuCard
from wan_core.catalog.gpus import GPUS
from wan_core.catalog.models import MODELS
from wan_core.plan.by_hand import HOST_MEMORY_GIB, parse_gpus
from wan_core.plan.criteria import DEFAULT_CRITERIA
from wan_core.plan.inventory import Inventory
from wan_core.plan.places import Ground, survey
from wan_core.plan.ranking import rank_plans
from wan_core.plan.request import Request, fill_request
from wan_core.plan.rungs import Rung
from wan_core.plan.verdicts import Judged, make_rung

TIERS = (Quality.LOSSLESS, Quality.NEAR)  # of the techniques that there are


class Setting(Document):
    """One model on one GPU: the shape, and the rung that is best for it.

    `shortened`: not even the smallest trained size fits at the length that the model makes by default. `rung`
    says why not, where `fits` is false.
    """

    gpu: str
    model: str
    quality: Quality
    width: int
    height: int
    frames: int
    fps: int
    steps: int
    fits: bool
    shortened: bool = False
    rung: Rung


def profile(
    gpu: GpuCard, models: Mapping[str, ModelCard] = MODELS, host_memory_gib: float = HOST_MEMORY_GIB
) -> tuple[Setting, ...]:
    """What runs on `gpu`: for each model that can run, the largest shape that fits lossless, and a larger one
    if there is one at a lower quality; for a model of which nothing fits, why.
    """
    runnable = (card for card in models.values() if not card.cannot_run)
    return tuple(setting for card in runnable for setting in settings_of(card, gpu, host_memory_gib))


def compatibility(
    card: ModelCard, gpus: Sequence[GpuCard] = GPUS, host_memory_gib: float = HOST_MEMORY_GIB
) -> tuple[Setting, ...]:
    """Where `card` runs: for each GPU what `profile` says of this model."""
    return tuple(setting for gpu in gpus for setting in settings_of(card, gpu, host_memory_gib))


def settings_of(
    card: ModelCard, gpu: GpuCard, host_memory_gib: float = HOST_MEMORY_GIB
) -> tuple[Setting, ...]:
    """The best setting of each tier that allows more than the one above; if none fits, one that says why."""
    found: list[Setting] = []
    for quality in TIERS:
        setting = find_setting(card, gpu, quality, host_memory_gib)
        if setting.fits and not any(_makes_as_much(other, setting) for other in found):
            found.append(setting)
        if setting.fits and _is_largest(card, setting):
            break
    return tuple(found) or (setting,)


def find_setting(card: ModelCard, gpu: GpuCard, quality: Quality, host_memory_gib: float) -> Setting:
    """The largest trained shape that fits at this quality; what the smallest one lacks, if none does."""
    ground = survey(one_node(gpu, host_memory_gib))
    shape = request = request_for(card, quality)
    for shape in trained_shapes(card, request):
        if best := _best(card, shape, ground):
            return _setting(gpu, shape, best)
    shorter = _shorten(card, shape, ground)
    if shorter is not None:
        return _setting(gpu, *shorter, shortened=True)
    return _setting(gpu, shape, _nearest(card, shape, ground))


def trained_shapes(card: ModelCard, request: Request) -> Iterator[Request]:
    """The request at each size that the model was trained for, largest first, the wider of two alike."""
    areas: dict[int, tuple[int, int]] = {}
    for width, height in card.sizes.trained:
        areas[width * height] = max(areas.get(width * height, (0, 0)), (width, height))
    for _, (width, height) in sorted(areas.items(), reverse=True):
        yield request.model_copy(update={"width": width, "height": height})


def request_for(card: ModelCard, quality: Quality = Quality.LOSSLESS) -> Request:
    """The video that the model makes by default."""
    image = "s3://inputs/image.png" if card.needs_image else None
    return fill_request(card, Spec(model=card.id, prompt="-", image=image, quality=quality), "")


def one_node(gpu: GpuCard, host_memory_gib: float = HOST_MEMORY_GIB) -> Inventory:
    """A node with this GPU. Of unified memory GPU and host have a part each."""
    return parse_gpus(gpu.name, host_memory_gib=host_memory_gib)


def _best(card: ModelCard, request: Request, ground: Ground) -> Judged | None:
    """The plan that the ladder would have first of those that fit."""
    return next((judged for judged in _rank(card, request, ground) if judged.fits), None)


def _nearest(card: ModelCard, request: Request, ground: Ground) -> Judged:
    """Of the plans, none of which fits, the one that needs least; of those for such a GPU if some are."""
    judged = _rank(card, request, ground)
    able = [one for one in judged if one.suited] or judged
    return min(able, key=lambda one: one.candidate.memory.peak_gib)


def _rank(card: ModelCard, request: Request, ground: Ground) -> list[Judged]:
    """Those for a GPU."""
    ranked = rank_plans(request, card, ground, DEFAULT_CRITERIA)
    return [one for one in ranked if one.candidate.plan.device != "cpu"]


def _shorten(card: ModelCard, request: Request, ground: Ground) -> tuple[Request, Judged] | None:
    """The longest video at this size that fits, below the default length: fewer frames never need more."""
    choices = card.frame_rule.shorter(request.frames)

    def at(frames: int) -> tuple[Request, Judged | None]:
        shape = request.model_copy(update={"frames": frames})
        return shape, _best(card, shape, ground)

    if not choices or at(choices[0])[1] is None:
        return None
    count = bisect_left(choices, True, key=lambda frames: at(frames)[1] is None)
    shape, best = at(choices[count - 1])
    assert best is not None
    return shape, best


def _setting(gpu: GpuCard, shape: Request, judged: Judged, *, shortened: bool = False) -> Setting:
    rung = make_rung(judged)
    return Setting(
        gpu=gpu.name,
        model=shape.model,
        quality=rung.tier,
        width=shape.width,
        height=shape.height,
        frames=shape.frames,
        fps=shape.fps,
        steps=shape.steps,
        fits=judged.fits,
        shortened=shortened,
        rung=rung,
    )


def _is_largest(card: ModelCard, setting: Setting) -> bool:
    """Whether no trained shape is larger: what loses more cannot make more."""
    largest = max(width * height for width, height in card.sizes.trained)
    return setting.width * setting.height == largest and not setting.shortened


def _makes_as_much(one: Setting, other: Setting) -> bool:
    pixels = (setting.width * setting.height * setting.frames for setting in (one, other))
    first, second = pixels
    return first >= second
