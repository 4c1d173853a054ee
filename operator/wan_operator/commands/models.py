"""`wan models`: the models that are known, and all that is known of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console

from wan_core.api.words import words_of_bytes
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.ids import resolve_model
from wan_core.catalog.models import OTHERS
from wan_core.plan.ladder_words import words_of_seconds
from wan_core.planning import HOST_MEMORY_GIB, Capabilities, Component, Setting, capabilities, compatibility
from wan_operator.catalogs import CatalogFile, read_models
from wan_operator.commands.answers import Format, Output, answer, told
from wan_operator.commands.documents import setting_document
from wan_operator.commands.tables import Column, show_facts, show_heading, show_lines, show_table
from wan_operator.commands.words import settings_words, shape_words, share_words, time_words


def models(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="One model by id.")] = None,
    catalog: CatalogFile = None,
    output: Output = Format.TEXT,
) -> None:
    """List the models that are known; of one, tell everything.

    Its shapes, defaults, licence, what could stand in for it, and the GPUs on which it runs.
    """
    with told():
        known = read_models(catalog)
        cards = {**known, **OTHERS}
        if model is None:
            every = [capabilities(card, cards) for card in cards.values()]
            listed = {"models": [can.to_dict() for can in every]}
            answer(output, lambda: listed, lambda console: show_list(console, every))
            return
        resolved = resolve_model(model, "MODEL", known)
        card, can = resolved.card, capabilities(resolved.card, cards)
        places = compatibility(card) if isinstance(card, ModelCard) and not card.cannot_run else ()
        note = {"note": resolved.note} if resolved.note else {}
        answer(
            output,
            lambda: model_document(can, places) | note,
            lambda console: show_model(console, can, places, resolved.note),
        )


def show_list(console: Console, every: Sequence[Capabilities]) -> None:
    """One line a model: what it makes by default, how large it is, and whether it runs."""
    columns = (
        Column("MODEL", wraps=True),
        Column("MAKES", wraps=True),
        Column("SIZE"),
        Column("FRAMES", "right"),
        Column("FPS", "right"),
        Column("STEPS", "right"),
        Column("WEIGHTS", "right"),
        Column("RUNS ON"),
    )
    show_table(console, columns, [_row(can) for can in every])


def show_model(console: Console, can: Capabilities, places: Sequence[Setting], note: str) -> None:
    """All that is known, then where it runs."""
    show_lines(console, [note] if note else [])
    show_facts(console, _facts(can))
    if not places:
        return
    show_heading(console, f"Where it runs, in a node with {HOST_MEMORY_GIB:g} GiB of memory and nothing else")
    columns = (
        Column("GPU", wraps=True),
        Column("SHAPE"),
        Column("QUALITY"),
        Column("SETTINGS", wraps=True),
        Column("GiB", "right"),
        Column("TIME", "right"),
    )
    show_table(console, columns, [_place_row(place) for place in places if place.fits])
    none = [place.gpu for place in places if not place.fits]
    show_lines(console, [f"does not fit: {', '.join(none)}"] if none else [])


def model_document(can: Capabilities, places: Sequence[Setting]) -> dict[str, Any]:
    """All that is known, and where it runs."""
    return {**can.to_dict(), "compatibility": [setting_document(place) for place in places]}


def _facts(can: Capabilities) -> list[tuple[str, str]]:
    """Names and words."""
    d = can.defaults
    length = words_of_seconds(d["frames"] / d["fps"])
    taught = ", ".join(map(str, can.trained_frames))
    return [
        ("model", f"{can.id}: {can.title}"),
        ("runs", f"no: {can.cannot_run}" if can.cannot_run else f"on {_devices(can)}"),
        ("tasks", ", ".join(can.tasks)),
        ("image", can.image),
        ("sizes", f"{', '.join(can.sizes)}; others: {can.size_rule}"),
        ("aspects", f"{', '.join(can.aspects)}{', or that of the image' if can.by_area else ''}"),
        ("frames", f"{d['frames']} ({length} at {d['fps']} fps); taught with {taught}; {can.frames_rule}"),
        ("steps", f"{d['steps']}; {can.steps[0]} to {can.steps[1]}"),
        ("guidance", _guidance(can)),
        ("shift", f"{d['shift']:g}"),
        ("negative prompt", d["negativePrompt"]),
        ("architecture", can.architecture),
        *((part.name, _component(part)) for part in can.components),
        ("techniques", ", ".join(_technique(t.id, t.tier.value) for t in can.techniques)),
        ("licence", f"{can.licence.name}; commercial use: {can.licence.commercial}"),
        *((f"or {other.model}", other.loses) for other in can.alternatives),
        ("sources", "; ".join(can.sources)),
    ]


def _guidance(can: Capabilities) -> str:
    given = can.guidance
    if given.boundary is not None:
        return f"{given.high:g} high, {given.low:g} low; the low-noise expert below {given.boundary} of noise"
    return f"{given.high:g}" if given.high == given.low else f"{given.high:g} to {given.low:g}, {given.form}"


def _component(part: Component) -> str:
    sizes = ", ".join(f"{words_of_bytes(size)} in {dtype}" for dtype, size in part.bytes.items())
    return f"{part.parameters / 1e6:,.1f} million parameters; {sizes}"


def _technique(name: str, tier: str) -> str:
    return name if tier == "lossless" else f"{name} ({tier})"


def _row(can: Capabilities) -> list[str]:
    d = can.defaults
    return [
        can.id,
        can.title,
        d["resolution"],
        str(d["frames"]),
        str(d["fps"]),
        str(d["steps"]),
        words_of_bytes(sum(min(part.bytes.values()) for part in can.components)),
        _devices(can) if not can.cannot_run else "-",
    ]


def _place_row(place: Setting) -> list[str]:
    rung = place.rung
    return [
        place.gpu,
        shape_words(place.width, place.height, place.frames),
        place.quality.value,
        settings_words(rung.plan),
        share_words(rung),
        time_words(rung),
    ]


def _devices(can: Capabilities) -> str:
    return ", ".join({"cuda": "GPU", "cpu": "CPU"}[device] for device in can.devices)
