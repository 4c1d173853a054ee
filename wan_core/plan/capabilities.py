"""All that a model can do, as one document: what `wan models ID` tells, and of what a checkpoint is one.

Pure. Of a card alone: how fast it is, and on what it fits, are other questions (`profile`, `compatibility`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from wan_core.api.model import Document
from wan_core.api.spec import Quality
from wan_core.catalog.architecture import Card, ModelCard, OtherCard
from wan_core.catalog.consistency import groups_of
from wan_core.catalog.differences import what_is_lost
from wan_core.catalog.models import ENTRIES
from wan_core.catalog.sources import SOURCES
from wan_core.plan.shapes import transformer_bytes
from wan_core.plan.techniques import TECHNIQUES


class Component(Document):
    """One set of weights. `bytes` is by the precision that they may be held in."""

    name: str
    parameters: int
    bytes: dict[str, int]


class GuidanceShape(Document):
    """How strongly prompts are followed by default. With two experts, `boundary` is the share of noise below
    which the low-noise one takes over.
    """

    form: Literal["scale", "high and low", "rising with the frames"]
    high: float
    low: float
    boundary: float | None = None


class Usable(Document):
    """A technique that the model may be run with."""

    id: str
    group: str
    tier: Quality
    loses: str
    devices: tuple[str, ...]


class Alternative(Document):
    """A model that does a similar thing, and what it lacks."""

    model: str
    loses: str


class Usage(Document):
    """The licence's name, and whether the weights may be used commercially."""

    name: str
    commercial: str


class Capabilities(Document):
    """What a model makes, of what, under which licence. `cannot_run` is empty, or why this version cannot.

    `sizes` were taught (`by_area`: their areas, in any aspect); others are allowed as `size_rule` says.
    `frames_rule` is in words. `steps` and `fps` are (least, most). `weights_of`: see `ModelCard`.
    """

    id: str
    title: str
    family: str
    architecture: str
    weights_of: str = ""
    tasks: tuple[str, ...]
    prompt: bool
    image: Literal["needed", "taken", "not taken"]
    sizes: tuple[str, ...]
    aspects: tuple[str, ...]
    by_area: bool
    size_rule: str
    frames_rule: str
    trained_frames: tuple[int, ...]
    defaults: dict[str, Any]
    steps: tuple[int, int]
    fps: tuple[int, int]
    guidance: GuidanceShape
    components: tuple[Component, ...]
    licence: Usage
    devices: tuple[str, ...]
    tiers: tuple[Quality, ...]
    techniques: tuple[Usable, ...]
    alternatives: tuple[Alternative, ...]
    cannot_run: str = ""
    sources: tuple[str, ...] = ()


def capabilities(card: Card, models: Mapping[str, Card] = ENTRIES) -> Capabilities:
    """The report. Alternatives are looked up in `models`; those that are not there are left out."""
    sizes, defaults = card.sizes, card.defaults
    techniques = tuple(_techniques(card))
    return Capabilities(
        id=card.id,
        title=card.title,
        family=card.family,
        architecture=card.architecture,
        weights_of=card.weights_of if isinstance(card, ModelCard) else "",
        tasks=tuple(_tasks(card)),
        prompt=card.takes_prompt,
        image="needed" if card.needs_image else "taken" if card.takes_image else "not taken",
        sizes=tuple(f"{width}x{height}" for width, height in sizes.trained),
        aspects=sizes.aspects,
        by_area=sizes.by_area,
        size_rule=f"multiples of {sizes.stride}, at most {sizes.max_pixels} pixels",
        frames_rule=card.frame_rule.words,
        trained_frames=card.frame_rule.trained,
        defaults={
            "resolution": f"{defaults.width}x{defaults.height}",
            "frames": defaults.frames,
            "fps": defaults.fps,
            "steps": defaults.steps,
            "shift": defaults.shift,
            "negativePrompt": defaults.negative_prompt,
        },
        steps=(card.steps.least, card.steps.most),
        fps=(card.fps.least, card.fps.most),
        guidance=_guidance(card),
        components=list_components(card),
        licence=Usage(name=card.licence.name, commercial=card.licence.commercial),
        devices=card.devices if isinstance(card, ModelCard) and not card.cannot_run else (),
        tiers=tuple(tier for tier in Quality if any(t.tier is tier for t in techniques)),
        techniques=techniques,
        alternatives=tuple(
            Alternative(model=other, loses=what_is_lost(card, models[other]))
            for other in card.alternatives
            if other in models
        ),
        cannot_run=card.cannot_run,
        sources=_sources(card),
    )


def list_components(card: Card) -> tuple[Component, ...]:
    """Every set of weights. A transformer keeps some of its weights in float32 whatever the others are in."""
    if isinstance(card, OtherCard):
        return tuple(_halves(part.name, part.parameters, "fp16") for part in card.parts)
    assert isinstance(card, ModelCard)
    count = card.transformer.parameters
    each = {"bf16": transformer_bytes(card.transformer), "fp32": 4 * count}
    experts = [
        Component(name=name, parameters=count, bytes=each)
        for name in ("transformer", "transformer_2")[: card.experts]
    ]
    vae = card.vae.parameters
    return (
        *experts,
        _halves("text_encoder", card.text_encoder.parameters, "bf16"),
        Component(name="vae", parameters=vae, bytes={"fp32": 4 * vae}),
    )


def _halves(name: str, parameters: int, half: str) -> Component:
    return Component(name=name, parameters=parameters, bytes={half: 2 * parameters, "fp32": 4 * parameters})


def _tasks(card: Card) -> Iterator[str]:
    """`ti2v` is two tasks."""
    if card.takes_image and not card.needs_image:
        yield from ("t2v", "i2v")
    else:
        yield card.task.value


def _guidance(card: Card) -> GuidanceShape:
    high, low = card.defaults.guidance
    if card.experts == 2:
        return GuidanceShape(form="high and low", high=high, low=low, boundary=card.boundary)
    return GuidanceShape(form="scale" if high == low else "rising with the frames", high=high, low=low)


def _techniques(card: Card) -> Iterator[Usable]:
    """Those for a device that the model runs on; none for a model that cannot run."""
    if not isinstance(card, ModelCard) or card.cannot_run:
        return
    for technique in TECHNIQUES.values():
        devices = tuple(device for device in technique.devices if device in card.devices)
        if devices:
            yield Usable(
                id=technique.id,
                group=technique.group,
                tier=technique.tier,
                loses=technique.loses,
                devices=devices,
            )


def _sources(card: Card) -> tuple[str, ...]:
    """Where its numbers come from, spelt out, each once."""
    keys = (key for group in groups_of(card) for key in group.source.split())
    return tuple(SOURCES[key] for key in dict.fromkeys(keys))
