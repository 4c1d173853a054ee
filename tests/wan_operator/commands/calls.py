"""Commands as people and programs call them, and what they look like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from wan_core.cli import app

HEAD = "apiVersion: wan.video/v1alpha1\nkind: VideoGeneration\n"
TINY = HEAD + "metadata: {name: tiny}\nspec: {model: wan-tiny, prompt: a red circle}\n"


def manifest(name: str = "video", **spec: Any) -> str:
    """A manifest in JSON, which is YAML."""
    document = {
        "apiVersion": "wan.video/v1alpha1",
        "kind": "VideoGeneration",
        "metadata": {"name": name},
        "spec": {"model": "t2v-A14B", "prompt": "a corgi", **spec},
    }
    return json.dumps(document)


def wan(*arguments: object, columns: int | None = None, stdin: str | None = None) -> Result:
    """`wan ...` on a paper of so many columns."""
    environment = {"COLUMNS": "" if columns is None else str(columns), "FORCE_COLOR": "", "TERM": "dumb"}
    return CliRunner().invoke(app, [str(a) for a in arguments], input=stdin, env=environment)


def data_of(result: Result) -> Any:
    """The JSON of an answer."""
    return json.loads(result.stdout)


def widest(text: str) -> int:
    """Characters of the longest line."""
    return max(map(len, text.splitlines()), default=0)


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path
