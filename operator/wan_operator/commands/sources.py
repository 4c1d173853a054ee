"""What `-f` names, as texts: files, folders, standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from wan_core.errors import InvalidInput

BYTES_MAX = 64 << 20  # of one file, which may hold many documents
SUFFIXES = (".yaml", ".yml", ".json")
STANDARD_INPUT = Path("-")

Files = Annotated[
    list[str],
    typer.Option(
        "-f",
        "--filename",
        metavar="PATH",
        help="A manifest, a folder of them, or - for standard input; may be repeated.",
    ),
]


@dataclass(frozen=True)
class Source:
    """One text and its name. `among_others`: it was found in a folder."""

    name: str
    text: bytes
    among_others: bool = False


def read_sources(names: Sequence[str]) -> Iterator[Source | InvalidInput]:
    """Each text that is named, in order; in its place the fault of one that cannot be read.

    Raises InvalidInput for an empty name, which would be read as the current folder's.
    """
    if "" in names:
        raise InvalidInput("the name of a manifest is empty: give a file, a folder, or - for standard input")
    for path in map(Path, names):
        if path != STANDARD_INPUT and path.is_dir():
            yield from _read_folder(path)
        else:
            yield _read(path)


def check_overwriting(written: Mapping[str, Path | None], read: Iterable[str]) -> None:
    """Raise InvalidInput if what an option writes would replace a file that is read."""
    paths = [Path(name) for name in read if name]
    inputs = [file for path in paths for file in (_manifests_of(path) if path.is_dir() else [path])]
    for option, target in written.items():
        if target is None or not target.is_file():
            continue
        if any(path.is_file() and target.samefile(path) for path in inputs):
            raise InvalidInput(f"{option}: {target} is read here and would be replaced; choose another file")


def _manifests_of(folder: Path) -> list[Path]:
    """By name, as kubectl takes them: not those of the folders in it."""
    return sorted(p for p in folder.iterdir() if p.suffix in SUFFIXES and not p.is_dir())


def _read_folder(folder: Path) -> Iterator[Source | InvalidInput]:
    paths = _manifests_of(folder)
    if not paths:
        yield InvalidInput(f"{folder}: holds no {', '.join(SUFFIXES)} file")
    for path in paths:
        yield _read(path, among_others=True)


def _read(path: Path, among_others: bool = False) -> Source | InvalidInput:
    if path == STANDARD_INPUT:
        return _read_standard_input()
    try:
        with path.open("rb") as file:
            return _bounded(Source(str(path), file.read(BYTES_MAX + 1), among_others))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return InvalidInput(f"{path}: {why}")


def _read_standard_input() -> Source | InvalidInput:
    if sys.stdin is None:
        return InvalidInput("standard input: is closed")
    return _bounded(Source("standard input", sys.stdin.buffer.read(BYTES_MAX + 1)))


def _bounded(source: Source) -> Source | InvalidInput:
    if len(source.text) > BYTES_MAX:
        return InvalidInput(f"{source.name}: has more than {BYTES_MAX} bytes, and no more are read")
    return source
