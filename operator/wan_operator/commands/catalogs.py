"""`--catalog`: an administrator's own models beside those of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from wan_core.api.parse import BYTES_MAX
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.models import MODELS
from wan_core.catalog.own import load_catalog

CatalogFile = Annotated[
    Path | None, typer.Option("--catalog", help="A YAML file of your own models, known besides.")
]


def read_models(path: Path | None) -> Mapping[str, ModelCard]:
    """The models of the catalogue and those of the file. Raises InvalidInput, OSError."""
    if path is None:
        return MODELS
    with path.open("rb") as file:
        text = file.read(BYTES_MAX + 1).decode("utf-8", "replace")
    return {**MODELS, **load_catalog(text, str(path))}
