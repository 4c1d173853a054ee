"""Other models of the catalogue that can do what a request asks for: advice, never taken by itself."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping

from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.shape_rules import largest_size
from wan_core.plan.request import Request
from wan_core.plan.rungs import Cure, CureKind, Value

Runs = Callable[[Request, ModelCard], str]
"""The best plan of a model for a request that fits what there is; empty if none does."""


def find_alternatives(
    request: Request, models: Mapping[str, ModelCard], named: Container[str], runs: Runs
) -> tuple[Cure, ...]:
    """Each model, not among those `named`, that runs: at this size and length, or the nearest it makes."""
    asked = models[request.model]
    found: list[Cure] = []
    for card in models.values():
        if card.id in named or card.cannot_run or not can_do(card, asked, request):
            continue
        other = translate(request, card)
        label = runs(other, card)
        if label:
            found.append(_cure(request, other, label))
    return tuple(found)


def can_do(card: ModelCard, asked: ModelCard, request: Request) -> bool:
    """Whether it makes a video from the same: from an image if there is one, and reads the same prompts."""
    if card.text_encoder != asked.text_encoder:
        return False
    return card.takes_image if asked.needs_image or request.image is not None else not card.needs_image


def translate(request: Request, card: ModelCard) -> Request:
    """The same video by `card`: size and frames as asked for where it makes them, else the nearest below;
    steps, guidance and shift are its own.
    """
    width, height = largest_size(card, request.width, request.height, card.max_pixels)
    high, low = card.defaults.guidance
    near = card.frame_rule.nearest(request.frames)
    frames = request.frames if request.frames in card.frame_rule.choices else near[0]
    return request.model_copy(
        update={
            "model": card.id,
            "width": width,
            "height": height,
            "frames": frames,
            "steps": card.defaults.steps,
            "guidance_high": high,
            "guidance_low": low,
            "shift": card.defaults.shift,
        }
    )


def _cure(request: Request, other: Request, label: str) -> Cure:
    also: list[tuple[CureKind, Value]] = []
    size = f"{other.width}x{other.height}"
    if (other.width, other.height) != (request.width, request.height):
        also.append(("resolution", size))
    if other.frames != request.frames:
        also.append(("frames", other.frames))
    changed = "".join(f", {kind}: {value}" for kind, value in also)
    plan = label.partition("/")[2]
    return Cure(
        kind="model", value=other.model, text=f"model: {other.model}{changed} ({plan})", also=tuple(also)
    )
