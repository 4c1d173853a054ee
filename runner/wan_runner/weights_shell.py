"""How the commands `wan weights ...` end, what they show meanwhile, and how they answer.

Each fault is one line on stderr, its advice included, with the category's exit code. Ctrl-C and SIGTERM are
a request to stop, which leaves nothing half done; who does not stop in time is ended.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TransferSpeedColumn

from wan_core.api.words import printable, words_of_bytes
from wan_core.errors import TABLE, Category, Interrupted, InvalidInput, WanError
from wan_runner.interrupt import UPLOAD_GRACE_S, Interruption

INTERRUPTED_EXIT = TABLE[Category.INTERRUPTED].exit_code
MANIFEST_ADVICE = TABLE[
    Category.INVALID_INPUT
].advice  # on a VideoGeneration, which is not what was typed here


class Format(StrEnum):
    """How a command answers."""

    TEXT = "text"
    JSON = "json"


Uri = Annotated[str, typer.Argument(metavar="S3URI", help="s3://BUCKET/.../MODEL-ID")]
CacheDir = Annotated[
    Path | None, typer.Option("--cache", metavar="DIR", help="The weights' cache; default: ~/.cache/wan.")
]
Output = Annotated[Format, typer.Option("-o", "--output", help="Text for people, or JSON.")]


@contextmanager
def told(grace_s: float = UPLOAD_GRACE_S, *, resumes: bool = False) -> Iterator[Interruption]:
    """Runs a command; `requested` is set when it is to stop. A fault ends it with a line and an exit code.

    `resumes`: the same command goes on from where it was stopped.
    """
    interruption = Interruption()
    interruption.end_with(_stop_hard)
    interruption.install()
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    try:
        with interruption.grace(grace_s):
            yield interruption
    except Interrupted as error:
        complain(error.message + ("; the same command goes on from there" if resumes else ""))
        raise typer.Exit(error.row.exit_code) from error
    except WanError as error:
        problems = error.problems if isinstance(error, InvalidInput) else (error.message,)
        advice = "" if error.advice == MANIFEST_ADVICE else f" ({error.advice})"
        complain("; ".join(problems) + advice)
        raise typer.Exit(error.row.exit_code) from error
    except OSError as error:
        complain(": ".join(str(part) for part in (error.filename, error.strerror) if part) or str(error))
        raise typer.Exit(TABLE[Category.INVALID_INPUT].exit_code) from error


def _stop_hard() -> None:
    """Called by the signal thread where nothing can be left half done, or the time to stop is over."""
    complain("told to stop")
    os._exit(INTERRUPTED_EXIT)


def complain(what: str) -> None:
    """A line on stderr."""
    print(f"wan: {printable(what)}", file=sys.stderr)


def answer(text: str) -> None:
    """A line on stdout."""
    typer.echo(printable(text))


def answer_json(data: Any) -> None:
    typer.echo(json.dumps(data, indent=2))


def answer_table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Columns as wide as what is in them."""
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    for row in (heads, *rows):
        answer("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@contextmanager
def shown_progress(*, lines: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """Shows what is worked on and how far: a bar on a terminal, elsewhere a line for each file if `lines`."""
    console = Console(stderr=True)
    if not console.is_terminal and not lines:
        yield lambda what, done, total: None
        return
    if not console.is_terminal:
        last = ""

        def say(what: str, done: int, total: int) -> None:
            nonlocal last
            if what and what != last:
                last = what
                share = f"{min(100 * done // total, 100):3d} %  " if total else ""
                print(f"{share}{printable(what)}", file=sys.stderr)

        yield say
        return
    columns = (
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TransferSpeedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(
            task, completed=done, total=total or None, description=printable(what)
        )


def ask(interruption: Interruption, question: str, yes: bool) -> None:
    """Goes on if `yes`, or if a person says so. Raises InvalidInput where there is nobody to ask."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInput(f"{question} Nobody is here to say", advice="Say --yes.")
    with interruption.grace(0):
        typer.confirm(printable(question), abort=True, err=True)


def words(count: int) -> str:
    """Bytes for people."""
    return words_of_bytes(count)


def many(count: int, what: str) -> str:
    """`1 file`, `12 files`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def in_camel_case(data: Mapping[str, Any]) -> dict[str, Any]:
    """Names as JSON has them."""

    def camel(name: str) -> str:
        first, *rest = name.split("_")
        return first + "".join(word.title() for word in rest)

    return {camel(name): value for name, value in data.items()}


def cache_or_default(cache: Path | None) -> Path:
    """The cache that was named, or this user's."""
    from wan_runner.__main__ import default_cache

    return cache or default_cache()
