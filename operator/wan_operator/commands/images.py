"""The input image of a manifest, as the runner would see it: checked before any weight is fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from wan_core.catalog.architecture import ModelCard
from wan_core.errors import InvalidInput
from wan_core.plan.image_fit import Checked
from wan_core.planning import CheckedManifest, problem_of_line
from wan_operator.commands.checks import need_check

ImageFile = Annotated[
    str | None,
    typer.Option("--image", metavar="FILE|S3URI", help="Check this image in place of the manifest's."),
]
PreviewFile = Annotated[
    Path | None,
    typer.Option("--preview", help="Write the frame that the video would begin with, as a PNG."),
]


def check_images(
    manifests: Sequence[CheckedManifest],
    models: Mapping[str, ModelCard],
    image: str | None,
    preview: Path | None,
) -> list[CheckedManifest]:
    """The manifests with what is wrong with the image, and what becomes of it.

    Nothing is looked at unless `image` or `preview` asks for it. Raises InvalidInput where it makes no sense.
    """
    if image is None and preview is None:
        return list(manifests)
    valid = [one for one in manifests if one.valid]
    if image == "":
        raise InvalidInput("--image: is empty")
    if len(manifests) > 1:
        raise InvalidInput("--image and --preview: give one manifest")
    return [check_image(one, models[one.requests[0].model], image, preview) for one in valid] or list(
        manifests
    )


def check_image(
    one: CheckedManifest, card: ModelCard, image: str | None, preview: Path | None
) -> CheckedManifest:
    """One valid manifest with what its image is like."""
    request = one.requests[0]
    source = request.image if image is None else image
    if source is None or request.image is None:
        option = "--preview" if image is None else "--image"
        raise InvalidInput(f"{option}: {one.name} says nothing in spec.image")
    what = source if source.startswith("s3://") else Path(source)
    arguments = (what, card, request.width, request.height, request.image_fit)
    try:
        if preview is None:
            found: Checked = need_check("image", "looking at an image")(*arguments)
        else:
            found = need_check("preview", "--preview")(*arguments, preview)
    except InvalidInput as error:
        problems = tuple(problem_of_line(line) for line in error.problems)
        return one.model_copy(update={"problems": (*one.problems, *problems)})
    notes = [f"image: {change}" for change in found.changes or ("taken as it is",)]
    notes += [f"preview: {preview}"] if preview is not None else []
    warnings = (*one.warnings, *found.warnings)
    return one.model_copy(update={"notes": (*one.notes, *notes), "warnings": warnings})
