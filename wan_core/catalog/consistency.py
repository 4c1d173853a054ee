"""Whether an entry of the catalogue agrees with itself: sizes, channels, defaults, what it names. Arithmetic.

Whether real weights have these shapes is for the runner to say (`wan_runner.model_check`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from wan_core.catalog.architecture import Card, Defaults, ModelCard, ModelTask, OtherCard
from wan_core.catalog.aspects import aspect_of
from wan_core.catalog.models import ENTRIES
from wan_core.catalog.shape_rules import frames_fault, size_fault
from wan_core.catalog.sources import SOURCES

MASK_CHANNELS = 4  # of the latents that an image conditions: as many as the VAE's stride in time


def check_card(card: Card, models: Mapping[str, Card] = ENTRIES) -> tuple[str, ...]:
    """What is wrong with the entry, each as `field: what`; alternatives are looked for in `models`."""
    found = [*_sources(card), *_shapes(card), *_defaults(card.defaults, card), *_names(card, models)]
    if isinstance(card, ModelCard):
        found += _architecture(card)
    elif isinstance(card, OtherCard):
        found += _parts(card)
    return tuple(found)


def groups_of(card: Card) -> list[Any]:
    """The card, and every group of numbers on it that has a source of its own."""
    values = [getattr(card, field.name) for field in fields(card)]
    parts = [part for value in values for part in (value if isinstance(value, tuple) else (value,))]
    return [card, *(part for part in parts if hasattr(part, "source"))]


def _sources(card: Card) -> Iterator[str]:
    for group in groups_of(card):
        unknown = [key for key in group.source.split() if key not in SOURCES]
        if unknown or not group.source:
            yield f"source: {type(group).__name__} has {', '.join(unknown) or 'none'}"


def _shapes(card: Card) -> Iterator[str]:
    """What it was taught is allowed, and is of the aspects that it names."""
    for width, height in card.sizes.trained:
        if fault := size_fault(card, width, height):
            yield f"sizes.trained: {fault}"
        if (aspect := aspect_of(width, height)) not in card.sizes.aspects:
            yield f"sizes.aspects: {width}x{height} is {aspect}, which is not among them"
    for frames in card.frame_rule.trained:
        if fault := frames_fault(card, frames):
            yield f"frameRule.trained: {fault}"


def _defaults(defaults: Defaults, card: Card) -> Iterator[str]:
    if fault := size_fault(card, defaults.width, defaults.height):
        yield f"defaults: {fault}"
    if fault := frames_fault(card, defaults.frames):
        yield f"defaults.frames: {fault}"
    for name, value, bounds in (("steps", defaults.steps, card.steps), ("fps", defaults.fps, card.fps)):
        if not bounds.least <= value <= bounds.most:
            yield f"defaults.{name}: {value} is not from {bounds.least} to {bounds.most}"
    high, low = defaults.guidance
    if isinstance(card, ModelCard) and card.experts == 1 and high != low:
        yield f"defaults.guidance: one expert has one scale, not {high:g} and {low:g}"
    if defaults.shift <= 0:
        yield f"defaults.shift: {defaults.shift:g} is not above 0"


def _names(card: Card, models: Mapping[str, Card]) -> Iterator[str]:
    for other in card.alternatives:
        if other not in models or other == card.id:
            yield f"alternatives: {other} is no other model of the catalogue"
        elif models[other].cannot_run:
            yield f"alternatives: {other} cannot run"
    for name in ("id", "title", "family", "architecture"):
        if not getattr(card, name):
            yield f"{name}: is empty"
    if not card.licence.name or not card.licence.commercial:
        yield "licence: does not say its name and whether commercial use is allowed"


def _architecture(card: ModelCard) -> Iterator[str]:
    """Whether transformer, VAE and text encoder fit each other."""
    t, vae = card.transformer, card.vae
    if t.dim % t.heads or t.dim // t.heads % 2:
        yield f"transformer: {t.heads} heads do not divide {t.dim} into even widths, which rotation needs"
    stride = vae.stride_hw * t.patch[1]
    if card.sizes.stride != stride or t.patch[1] != t.patch[2]:
        yield f"sizes.stride: is {card.sizes.stride}; VAE and patch make it {stride}"
    if card.frame_rule.step != vae.stride_t:
        yield f"frameRule.step: is {card.frame_rule.step}; the VAE makes it {vae.stride_t}"
    image = card.task in (ModelTask.I2V, ModelTask.ANIMATE)
    wanted = 2 * vae.z_channels + MASK_CHANNELS if image else vae.z_channels
    if (t.in_channels, t.out_channels) != (wanted, vae.z_channels):
        found = f"{t.in_channels} channels in and {t.out_channels} out"
        yield f"transformer: {found}, not {wanted} and {vae.z_channels}"
    if t.text_dim != card.text_encoder.dim:
        yield f"transformer.textDim: is {t.text_dim}; the text encoder is {card.text_encoder.dim} wide"
    if card.experts not in (1, 2) or (card.boundary is not None) != (card.experts == 2):
        yield f"boundary: {card.boundary} with {card.experts} experts; two have one, one has none"
    if card.boundary is not None and not 0 < card.boundary < 1:
        yield f"boundary: {card.boundary:g} is not between 0 and 1"
    if not card.devices:
        yield "devices: there are none"


def _parts(card: OtherCard) -> Iterator[str]:
    if not card.cannot_run:
        yield "cannotRun: is empty, and no other architecture runs"
    if not card.parts or any(part.parameters <= 0 for part in card.parts):
        yield "parts: one has no parameters, or there are none"
