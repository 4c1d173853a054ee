"""`wan weights cache stats` and `wan weights cache clear`: what was derived on this machine, and kept.

Each fault is one line on stderr. Nothing heavy is imported.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wan_core.api.words import printable
from wan_core.errors import AccessDenied, InvalidInput, WanError
from wan_core.weights import prepared_folder
from wan_runner.__main__ import default_cache

UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


class Format(StrEnum):
    """How `stats` answers."""

    TEXT = "text"
    JSON = "json"


Cache = Annotated[
    Path | None, typer.Option("--cache", metavar="DIR", help="The weights cache; default: ~/.cache/wan.")
]
Output = Annotated[Format, typer.Option("-o", "--output", help="Text for people, or JSON.")]


def stats(cache: Cache = None, output: Output = Format.TEXT) -> None:
    """Tell how much was derived and kept on this machine, and what that saved.

    Counted since the last `wan weights cache clear`.
    """
    with _told():
        root = _open(cache)
        limit = prepared_folder.read_max_bytes(os.environ)
        found, counts = prepared_folder.entries(root), prepared_folder.read_counts(root)
    nbytes = sum(entry.bytes for entry in found)
    if output is Format.JSON:
        size = {"folder": str(root), "values": len(found), "bytes": nbytes, "max_bytes": limit}
        typer.echo(json.dumps({_camel(name): value for name, value in {**size, **asdict(counts)}.items()}))
        return
    typer.echo(f"folder  {printable(str(root))}")
    typer.echo(f"values  {len(found)}, {told(nbytes)} of at most {told(limit)}")
    typer.echo(f"found   {counts.hits} times, {told(counts.bytes_read)} read")
    typer.echo(f"made    {counts.misses} times, {told(counts.bytes_stored)} written")
    typer.echo(f"saved   {counts.seconds_saved:.1f} s")


def clear(cache: Cache = None) -> None:
    """Remove what was derived and kept on this machine; it is made again when it is needed.

    What runs meanwhile is not disturbed. Weights stay: `wan weights gc` is for those.
    """
    with _told():
        count, nbytes = prepared_folder.clear(_open(cache))
    typer.echo(f"removed: {count} values, {told(nbytes)}")


def told(nbytes: int) -> str:
    """Bytes for people."""
    amount, unit = float(nbytes), 0
    while amount >= 1024 and unit < len(UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.1f} {UNITS[unit]}" if unit else f"{nbytes} bytes"


def _open(cache: Path | None) -> Path:
    """The folder below the cache, which need not be there. Raises InvalidInput, AccessDenied."""
    if cache is not None and not cache.is_dir():
        raise InvalidInput(f"--cache: {cache}: there is no such folder")
    root = (cache or default_cache()) / prepared_folder.FOLDER
    try:
        os.listdir(root)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise AccessDenied(f"{root}: {error.strerror}") from error
    return root


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except WanError as error:
        print(f"wan: {printable(error.message)}", file=sys.stderr)
        raise typer.Exit(error.row.exit_code) from error
