"""`wan validate` asks here what the runner would say of an image, and how the model would see it.

The very steps of an attempt, by the same functions, without a model, torch or a device. Reached through the
entry points `wan.checks`, so that nobody has to have the runner's package to plan.
"""

from __future__ import annotations

from pathlib import Path

from wan_core.api.spec import ImageFit
from wan_core.catalog.architecture import ModelCard
from wan_core.errors import InvalidInput
from wan_core.plan.image_fit import FIELD, Checked
from wan_core.task import IMAGE_MAX_BYTES
from wan_runner.image import prepare_image
from wan_runner.store.s3 import read_input

Source = bytes | Path | str
"""An image's bytes, a file's path, or an s3:// URI, which is read as the environment says."""


def check(source: Source, card: ModelCard, width: int, height: int, how: ImageFit) -> Checked:
    """What the image is and what becomes of it in a video of this size.

    Raises InvalidInput if an attempt would; where only its aspect is wrong, with the values of each way out.
    What S3 refuses escapes: NetworkError, AccessDenied.
    """
    return prepare_image(read_source(source), width, height, how, card)[1]


def preview(source: Source, card: ModelCard, width: int, height: int, how: ImageFit, out: Path) -> Checked:
    """`check`, and the frame that the model starts from as a PNG at `out`. Raises OSError if that fails."""
    image, checked = prepare_image(read_source(source), width, height, how, card)
    image.save(out, "PNG")
    return checked


def read_source(source: Source) -> bytes:
    """The image's bytes, no more than it takes to see that they are too many."""
    if isinstance(source, bytes):
        return source
    if isinstance(source, str):
        return read_input(source, max_bytes=IMAGE_MAX_BYTES)
    try:
        with source.open("rb") as file:
            return file.read(IMAGE_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InvalidInput(f"{FIELD}: {source}: {why}") from error
