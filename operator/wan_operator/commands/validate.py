"""`wan validate`: what is wrong with manifests, all of it, before anything runs; and with models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from wan_core.errors import InvalidInput
from wan_operator.catalogs import CatalogFile
from wan_operator.commands.answers import Format, Output, refuse_options, told
from wan_operator.commands.images import ImageFile, PreviewFile
from wan_operator.commands.places import PLACE_OPTIONS, Chosen, known_models, with_place_options
from wan_operator.commands.prompts import Tokenizer
from wan_operator.commands.sources import check_overwriting
from wan_operator.commands.validate_manifests import Asked, validate_manifests
from wan_operator.commands.validate_models import validate_models

What = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE|MODEL",
        help="More manifests; with --models: ids, YAML files of models, folders, s3://...",
    ),
]
MoreFiles = Annotated[
    list[str] | None,
    typer.Option(
        "-f", "--filename", metavar="PATH", help="A manifest, a folder of them, or -; may be repeated."
    ),
]
OfModels = Annotated[
    bool, typer.Option("--models", help="Check models instead: of the catalogue, of yours, checkpoints.")
]
Detailed = Annotated[bool, typer.Option("--detailed", help="Tell all that the manifest leaves to the model.")]
HardwareCheck = Annotated[
    bool, typer.Option("--hardware-check", help="Is there a plan that fits? Else exit 74.")
]
Report = Annotated[
    Path | None, typer.Option("--report", help="Write the whole answer to this file, as JSON.")
]
OPTIONS_OF_MODELS = ("what", "files", "models", "catalog", "report", "settings", "output")


@with_place_options
def validate(
    call: typer.Context,
    what: What = None,
    *,
    files: MoreFiles = None,
    models: OfModels = False,
    detailed: Detailed = False,
    hardware_check: HardwareCheck = False,
    catalog: CatalogFile = None,
    image: ImageFile = None,
    preview: PreviewFile = None,
    tokenizer: Tokenizer = None,
    report: Report = None,
    chosen: Chosen,
    output: Output = Format.TEXT,
) -> None:
    """Tell everything that is wrong with manifests, or models.

    Each fault with its place and the nearest valid value. Exit codes: 0 all are valid, 64 one is not
    (each fault is a line on stderr), 74 with --hardware-check if all are valid but no plan of one fits.
    With --models: 0, 64, or what S3 answers: 69, 77.
    """
    with told():
        named = [*(files or ()), *(what or ())]
        check_overwriting({"--report": report, "--preview": preview}, [*named, image or ""])
        _check_options(call, named)
        known = known_models(catalog, chosen.settings)
        if models:
            code = validate_models(named, known, report, output)
        else:
            place = chosen if hardware_check else None
            asked = Asked(tuple(named), place, detailed, known, image, preview, tokenizer)
            code = validate_manifests(asked, report, output)
    raise typer.Exit(code)


def _check_options(call: typer.Context, named: Sequence[str]) -> None:
    """Raise InvalidInput that names each option that was given and would not be looked at."""
    if call.params["models"]:
        rest = (name for name in call.params if name not in OPTIONS_OF_MODELS)
        refuse_options(call, rest, "does not go with --models")
        return
    if not named:
        raise InvalidInput("nothing to validate: give -f FILE, or --models")
    if not call.params["hardware_check"]:
        refuse_options(call, PLACE_OPTIONS, "goes with --hardware-check")
