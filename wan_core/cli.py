"""The command `wan`, also `kubectl wan`. Each installed package adds subcommands by entry point.

Help is shown without importing any of them: a subcommand's one line is the first line of its function's
docstring, read from the source. Only the subcommand that is called gets imported. The entry point
`weights.convert` is the subcommand `wan weights convert`.
"""

from __future__ import annotations

import ast
import os
import sys
from functools import cache
from importlib import metadata, util
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

GROUP = "wan.commands"
NO_COMMANDS = "No subcommands are installed: pip install 'wan-operator[local]'"


@cache
def find_commands() -> dict[str, metadata.EntryPoint]:
    """The installed subcommands by name: the operator's image, for one, holds no runner."""
    points = sorted(metadata.entry_points(group=GROUP))
    return {point.name: point for point in points if util.find_spec(point.module.partition(".")[0])}


def read_summary(point: metadata.EntryPoint) -> str:
    """The first line of the docstring of the function that an entry point names, without importing it."""
    spec = util.find_spec(point.module)
    if spec is None or spec.origin is None:
        return ""
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    functions = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == point.attr)
    text = next((ast.get_docstring(function) for function in functions), None)
    return text.splitlines()[0] if text else ""


def load_command(point: metadata.EntryPoint) -> Any:
    """The subcommand itself, as Typer makes it from the function."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name=point.name.rpartition(".")[2])(point.load())
    return typer.main.get_command(app)


class LazyGroup(TyperGroup):
    """A group that lists its subcommands from entry points and imports the one that is called."""

    prefix = ""

    def list_commands(self, ctx: Any) -> list[str]:
        names = (name.removeprefix(self.prefix) for name in find_commands() if name.startswith(self.prefix))
        return sorted({name.partition(".")[0] for name in names})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        point = find_commands().get(self.prefix + cmd_name)
        if point is not None:
            return TyperCommand(name=cmd_name, help=read_summary(point))
        return self._find_group(ctx, cmd_name) if cmd_name in self.list_commands(ctx) else None

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        point = find_commands().get(self.prefix + (name or ""))
        return name, command if point is None else load_command(point), rest

    def _find_group(self, ctx: Any, name: str) -> LazyGroup:
        group = LazyGroup(name=name, no_args_is_help=True, rich_markup_mode=None)
        group.prefix = f"{self.prefix}{name}."
        group.help = f"Subcommands: {', '.join(group.list_commands(ctx))}."
        return group


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wan {metadata.version('wan-operator')}")
        raise typer.Exit


app = typer.Typer(
    name="wan",
    cls=LazyGroup,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rendering help with Rich costs 0.2 s
    epilog=None if find_commands() else NO_COMMANDS,
)


@app.callback()
def wan(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Video generation as a batch workload: a VideoGeneration manifest becomes a video."""


def _open_closed_streams() -> None:
    """What goes to a closed stream goes nowhere: to write None fails, and to print to it goes to stdout."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - until the end


def main() -> None:
    """Entry point of the console scripts `wan` and `kubectl-wan`."""
    _open_closed_streams()
    if isinstance(sys.stdout, TextIOWrapper):  # a terminal that cannot show a character is shown its escape
        sys.stdout.reconfigure(errors="backslashreplace")
    called = Path(sys.argv[0]).stem
    app(prog_name="kubectl wan" if called.startswith("kubectl") else "wan")
