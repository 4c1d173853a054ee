"""`wan recommend`: which model and settings, for a prompt or an image and what there is to run on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from wan_core.api.durations import read_duration
from wan_core.api.spec import API_VERSION, DURATION_PATTERN, KIND, S3_PATTERN, ImageFit, Quality
from wan_core.api.words import shown
from wan_core.catalog.models import MODELS
from wan_core.errors import InvalidInput
from wan_core.plan.image_fit import Checked, Size
from wan_core.plan.ladder_words import VERDICTS
from wan_core.plan.prompt_text import check_prompt
from wan_core.planning import Advice, Recommendation
from wan_core.planning import recommend as recommend_ways
from wan_operator.catalogs import CatalogFile
from wan_operator.commands.answers import (
    NOTHING_FITS_EXIT,
    Format,
    Output,
    answer,
    complain,
    say,
    to_yaml,
    told,
)
from wan_operator.commands.checks import find_check
from wan_operator.commands.documents import rung_document
from wan_operator.commands.places import Chosen, Found, find_inventory, known_models, with_place_options
from wan_operator.commands.prices import OrderOption, PricesOption, read_prices
from wan_operator.commands.tables import Column, show_facts, show_heading, show_lines, show_table
from wan_operator.commands.words import cost_words, settings_words, shape_words, time_words

UNSAID = "what the video shows"  # stands in the manifest where no prompt was given
PLACE_OF_IMAGES = "s3://inputs/"
NAME_MAX = 255  # characters of a file's name


@with_place_options
def recommend(
    *,
    prompt: Annotated[str, typer.Option("--prompt", help="What the video shows.")] = "",
    image: Annotated[
        str | None, typer.Option("--image", metavar="FILE|S3URI", help="The image it starts from.")
    ] = None,
    chosen: Chosen,
    quality: Annotated[Quality, typer.Option(help="Nothing that loses more than this.")] = Quality.NEAR,
    within: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Prefer what is done in this time, as 30m.")
    ] = None,
    order: OrderOption = None,
    prices: PricesOption = None,
    catalog: CatalogFile = None,
    output: Output = Format.TEXT,
) -> None:
    """Say which model and settings to take, and why.

    With how sure that is, and a manifest to begin from. For GPUs by name, a cluster, or this machine.
    Exit codes: 0, or 74 if no model fits there.
    """
    with told():
        if not prompt and image is None:
            raise InvalidInput("--prompt, --image: give one of them, or both")
        if prompt:
            check_prompt(prompt, "--prompt")
        limit = _read_limit(within)
        given = read_prices(prices)
        found = find_inventory(chosen)
        advice = recommend_ways(
            prompt or UNSAID,
            found.inventory,
            image=_address(image),
            image_size=measure_image(image),
            quality=quality,
            within_s=limit,
            models=known_models(catalog, chosen.settings),
            criteria=found.criteria(order, given),
        )
        answer(output, lambda: _document(advice, found), lambda console: show(console, advice, found))
        if not advice.recommendations:
            complain([f"no model fits {found.name}"])
    raise typer.Exit(0 if advice.recommendations else NOTHING_FITS_EXIT)


def measure_image(image: str | None) -> Size | None:
    """Its width and height, as the runner sees it; None without an image or the runner's package."""
    look = find_check("image")
    if image is None or look is None:
        return None
    source = image if image.startswith("s3://") else Path(image)
    card = next(card for card in MODELS.values() if card.takes_image)
    try:
        seen: Checked = look(source, card, card.defaults.width, card.defaults.height, ImageFit.CROP)
    except InvalidInput as error:
        raise InvalidInput(
            [line.replace("spec.image: ", "--image: ", 1) for line in error.problems]
        ) from error
    return seen.width, seen.height


def build_manifest(one: Recommendation, name: str = "video") -> dict[str, Any]:
    """A manifest to begin from."""
    spec = one.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec}


def show(console: Console, advice: Advice, found: Found) -> None:
    """All ways in a table, the best at length, and its manifest."""
    show_lines(console, [f"on {found.words}", *found.notes])
    if advice.recommendations:
        say(console)
        _show_table(console, advice.recommendations)
        best = advice.recommendations[0]
        show_heading(console, f"{best.spec.model}: why")
        sure = f"confidence {best.confidence.level}: {best.confidence.why}"
        show_facts(console, [("-", reason) for reason in (*best.reasons, sure)])
        show_heading(console, "A manifest to begin from")
        for line in to_yaml(build_manifest(best)).splitlines():
            say(console, line)
    if advice.refused:
        show_heading(console, "Not these")
        show_lines(console, advice.refused)


def _show_table(console: Console, ways: Sequence[Recommendation]) -> None:
    columns = (
        Column("MODEL", wraps=True),
        Column("SHAPE"),
        Column("SETTINGS", wraps=True),
        Column("QUALITY", yields=True),
        Column("TIME", "right"),
        Column("COST", "right"),
        Column("CONFIDENCE", yields=True),
        Column("VERDICT"),
    )
    show_table(console, columns, [_row(one) for one in ways])


def _row(one: Recommendation) -> list[str]:
    request, rung = one.request, one.rung
    return [
        request.model,
        shape_words(request.width, request.height, request.frames),
        settings_words(rung.plan),
        rung.tier.value,
        time_words(rung),
        cost_words(rung.cost),
        one.confidence.level,
        VERDICTS[rung.verdict],
    ]


def _document(advice: Advice, found: Found) -> dict[str, Any]:
    ways = [
        {
            "model": one.spec.model,
            "verdict": one.rung.verdict.value,
            "within": one.within,
            "confidence": one.confidence.to_dict(),
            "reasons": list(one.reasons),
            "manifest": build_manifest(one),
            "rung": rung_document(one.rung),
        }
        for one in advice.recommendations
    ]
    return {
        "inventory": {"name": found.name, **found.inventory.to_dict()},
        "notes": list(found.notes),
        "recommendations": ways,
        "refused": list(advice.refused),
    }


def _address(image: str | None) -> str | None:
    """What stands in a manifest for it: a file has to be put into a bucket first."""
    if image is None or re.fullmatch(S3_PATTERN, image):
        return image
    if image.startswith("s3://") or not Path(image).name:
        raise InvalidInput(f"--image: {shown(image)} is neither a file nor s3://BUCKET/KEY")
    name = re.sub("[^A-Za-z0-9_.-]+", "-", Path(image).name)[-NAME_MAX:]
    return f"{PLACE_OF_IMAGES}{name}"


def _read_limit(within: str | None) -> float | None:
    if within is None:
        return None
    if re.fullmatch(DURATION_PATTERN, within) is None:
        raise InvalidInput(f"--within: {shown(within)} is no duration, such as 90m or 1h30m")
    limit = read_duration(within)
    return limit.total_seconds() if limit is not None else None
