"""`wan weights convert`. Each fault is one line on stderr, no traceback. torch is loaded to convert only."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from wan_core.api.words import printable
from wan_core.errors import TABLE, Category, Interrupted, InvalidInput, WanError
from wan_core.weights.schemes import Scheme

NEEDED = ("torch", "safetensors", "diffusers", "transformers")


def convert(
    source: Annotated[
        Path,
        typer.Argument(metavar="SRC", help="A model's folder, or a folder or .safetensors file of a part."),
    ],
    target: Annotated[
        Path, typer.Argument(metavar="DST", help="The folder to write; it must not be there yet.")
    ],
    to: Annotated[Scheme, typer.Option("--to", help="Whose names and files to write.")],
) -> None:
    """Write a model's weights as diffusers, Wan's own programs or ComfyUI load them.

    What SRC is named by is seen from its tensors. Only names change: every tensor keeps its bytes and dtype.
    """
    try:
        absent = [name for name in NEEDED if find_spec(name) is None]
        if absent:
            raise InvalidInput(
                f"this needs {', '.join(absent)}; install them with: pip install 'wan-operator[local]'"
            )
        from wan_core.weights.convert import convert as write_anew

        with stopping():
            write_anew(source, target, to, lambda line: typer.echo(printable(line)))
    except InvalidInput as error:
        _fail("; ".join(error.problems), error.row.exit_code)
    except WanError as error:
        _fail(error.message, error.row.exit_code)
    except OSError as error:
        what = ": ".join(str(part) for part in (error.filename, error.strerror) if part)
        _fail(what or str(error), TABLE[Category.INVALID_INPUT].exit_code)
    typer.echo(printable(f"written: {target}"))


@contextmanager
def stopping() -> Iterator[None]:
    """Within this SIGTERM and SIGHUP raise Interrupted, so that nothing half written stays behind."""

    def stop(number: int, _frame: object) -> None:
        raise Interrupted(f"told to stop by {signal.Signals(number).name}; nothing was written")

    wanted = [
        n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN
    ]  # nohup
    before = {number: signal.signal(number, stop) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _fail(what: str, exit_code: int) -> None:
    print(f"wan: {printable(what)}", file=sys.stderr)
    raise typer.Exit(exit_code)
