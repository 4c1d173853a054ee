"""How a command answers and how it ends: text, JSON or YAML on stdout, each fault a line on stderr.

Exit codes are those of the categories of `wan_core.errors`; 0 where all is well.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from wan_core.api.words import printable
from wan_core.errors import TABLE, Category, InvalidInput, WanError

INVALID_EXIT = TABLE[Category.INVALID_INPUT].exit_code
NOTHING_FITS_EXIT = TABLE[Category.INCOMPATIBLE_HARDWARE].exit_code
PIPED_WIDTH = 100  # characters, where nobody says how wide the paper is


class Format(StrEnum):
    """How a command answers."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


Output = Annotated[
    Format, typer.Option("-o", "--output", help="Text for people, or JSON or YAML for programs.")
]


@contextmanager
def told() -> Iterator[None]:
    """Runs a command: a fault ends it with a line for each problem, and the exit code of its category."""
    try:
        yield
    except InvalidInput as error:
        complain(error.problems)
        raise typer.Exit(error.row.exit_code) from error
    except WanError as error:
        complain([f"{error.message}. {error.advice}".removesuffix(". ")])
        raise typer.Exit(error.row.exit_code) from error
    except BrokenPipeError:  # whoever reads has read enough
        raise
    except OSError as error:
        complain([": ".join(str(part) for part in (error.filename, error.strerror) if part) or str(error)])
        raise typer.Exit(exit_code_of(error)) from error


def exit_code_of(error: OSError) -> int:
    """The exit code for a file of ours that cannot be written or read."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return TABLE[Category.INSUFFICIENT_DISK_SPACE if full else Category.INVALID_INPUT].exit_code


def complain(problems: Sequence[str]) -> None:
    """Each problem on its own line of standard error."""
    for problem in problems:
        print(f"wan: {printable(problem)}", file=sys.stderr)


def answer(
    output: Format,
    build: Callable[[], Mapping[str, Any]],
    show: Callable[[Console], None],
    report: Path | None = None,
) -> None:
    """The document that `build` makes for programs, or what `show` prints for people.

    With `report` the document goes to that file, whatever is answered.
    """
    data = build() if output is not Format.TEXT or report is not None else {}
    if report is not None:
        report.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    if output is Format.JSON:
        typer.echo(json.dumps(data, indent=2))
    elif output is Format.YAML:
        typer.echo(to_yaml(data), nl=False)
    else:
        show(open_console())


def to_yaml(data: Mapping[str, Any]) -> str:
    """YAML in which text stands as it is, if none of it could steer a terminal."""
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=PIPED_WIDTH)
    readable = all(line.isprintable() for line in text.split("\n"))
    return text if readable else yaml.safe_dump(data, sort_keys=False, width=PIPED_WIDTH)


def open_console() -> Console:
    """Standard output, as wide as its terminal; `PIPED_WIDTH` where there is none and COLUMNS is not set."""
    width = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else PIPED_WIDTH
    return Console(width=width, highlight=False, emoji=False)


def say(console: Console, text: str = "") -> None:
    """Text as it is, on one line however narrow the terminal: it may be copied from there."""
    console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


def refuse_options(call: typer.Context, names: Iterable[str], why: str) -> None:
    """Raise InvalidInput with a line for each of these parameters that was given on the command line."""
    given = {
        name for name in names if (said := call.get_parameter_source(name)) and said.name == "COMMANDLINE"
    }
    options = [max(one.opts, key=len) for one in call.command.params if one.name in given]
    if options:
        raise InvalidInput([f"{option}: {why}" for option in options])


def check_installed(names: Sequence[str], extra: str) -> None:
    """Raise InvalidInput if these packages are not installed, without importing them."""
    absent = [name for name in names if find_spec(name) is None]
    if absent:
        what = f"this needs {', '.join(absent)}"
        raise InvalidInput(f"{what}; install them with: pip install 'wan-operator[{extra}]'")
