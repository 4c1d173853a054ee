"""What the check of a real checkpoint found: names, shapes, dtypes against known architectures. Data only.

The check itself needs what reads weights (`wan_runner.model_check`); this is what it answers.
"""

from __future__ import annotations

from typing import Literal

from wan_core.api.model import Document


class CheckedPart(Document):
    """One set of weights that is whole and of a known architecture. `dtypes`: bytes stored in each."""

    name: str
    scheme: str
    tensors: int
    parameters: int
    bytes: int
    dtypes: dict[str, int]


class CheckedCheckpoint(Document):
    """A folder, a file, or a model in S3. Bytes of weights were not read, their headers were.

    `models`: ids of those whose architecture it has. `model` is what the manifest calls it, `digest` names
    these very weights: both only of models in S3. `missing`: parts that a model needs and that are not there.
    `parts` are those that were found sound; `errors` say what is wrong with the others, and with the whole.
    """

    where: str
    kind: Literal["folder", "file", "s3"]
    layout: str = ""
    models: tuple[str, ...] = ()
    model: str | None = None
    digest: str | None = None
    parts: tuple[CheckedPart, ...] = ()
    missing: tuple[str, ...] = ()
    bytes: int = 0
    errors: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether it can be used as it is, as one of `models`."""
        return not self.errors
