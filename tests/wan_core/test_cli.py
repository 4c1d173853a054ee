"""The command `wan`: what it lists, and what listing does not import."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from io import BytesIO, TextIOWrapper

import pytest
from typer.testing import CliRunner

from wan_core import cli


def test_help_lists_the_installed_subcommands_with_their_summaries() -> None:
    result = CliRunner().invoke(cli.app, ["--help"])
    assert result.exit_code == 0
    assert "run" in result.output
    assert "Make the video of a manifest on this machine" in result.output


def test_without_arguments_there_is_help() -> None:
    assert "Usage: " in CliRunner().invoke(cli.app, []).output


def test_help_imports_no_subcommand_and_nothing_heavy() -> None:
    code = (
        "import sys\nfrom wan_core.cli import app\n"
        "try:\n    app(['--help'], prog_name='wan')\nexcept SystemExit:\n    pass\n"
        "heavy = ('wan_operator.cli', 'pydantic', 'yaml', 'rich', 'torch', 'numpy', 'boto3')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "[]"


def test_a_subcommand_is_imported_when_it_is_called() -> None:
    result = CliRunner().invoke(cli.app, ["run", "--help"])
    assert result.exit_code == 0
    assert "--explain" in result.output


def test_a_dot_in_an_entry_points_name_makes_a_group() -> None:
    assert "Subcommands: cache, convert, " in CliRunner().invoke(cli.app, ["--help"]).output
    group = CliRunner().invoke(cli.app, ["weights", "--help"])
    assert group.exit_code == 0
    assert "Write a model's weights as diffusers" in group.output
    assert "--to" in CliRunner().invoke(cli.app, ["weights", "convert", "--help"]).output
    assert "Subcommands: clear, stats." in group.output
    assert "-o, --output" in CliRunner().invoke(cli.app, ["weights", "cache", "stats", "--help"]).output


def test_an_unknown_subcommand_of_a_group_is_an_error_in_words() -> None:
    result = CliRunner().invoke(cli.app, ["weights", "invert"])
    assert result.exit_code == 2
    assert "No such command" in result.output


def test_the_version_is_the_distributions() -> None:
    result = CliRunner().invoke(cli.app, ["--version"])
    assert result.output.strip() == f"wan {metadata.version('wan-operator')}"


@pytest.mark.parametrize(
    ("called", "name"),
    [
        pytest.param("/usr/bin/wan", "wan", id="wan"),
        pytest.param("/usr/bin/kubectl-wan", "kubectl wan", id="as a kubectl plugin"),
    ],
)
def test_usage_names_the_command_as_it_was_called(
    called: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [called, "--help"])
    with pytest.raises(SystemExit):
        cli.main()
    assert f"Usage: {name} [OPTIONS]" in capsys.readouterr().out


def test_a_character_that_the_output_cannot_show_is_written_as_its_escape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(written, encoding="ascii"))
    monkeypatch.setattr(sys, "argv", ["wan", "--version"])
    with pytest.raises(SystemExit):
        cli.main()
    print("übung", flush=True)
    assert written.getvalue().endswith(b"\\xfcbung\n")


def test_an_unknown_subcommand_is_an_error_in_words() -> None:
    result = CliRunner().invoke(cli.app, ["rum"])
    assert result.exit_code == 2
    assert "No such command" in result.output


def test_where_no_subcommand_is_installed_the_extra_that_brings_them_is_named() -> None:
    code = (
        "import importlib.metadata as m\nm.entry_points = lambda **_: ()\n"
        "from wan_core.cli import app\napp(['--help'], prog_name='wan')"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'wan-operator[local]'" in " ".join(told.stdout.split())


def test_a_subcommand_whose_package_is_not_installed_is_none() -> None:
    """As in the operator's image, from which the runner was taken out."""
    code = (
        "import importlib.metadata as m\n"
        "m.entry_points = lambda **_: [m.EntryPoint('weights.gone', 'gone.command:gone', 'wan.commands')]\n"
        "from wan_core.cli import find_commands\nprint(find_commands())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "{}\n"


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_what_goes_to_a_closed_stream_goes_nowhere(closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, closed, None)
    monkeypatch.setattr(sys, "argv", ["wan", "--version"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    print("written", file=getattr(sys, closed))
    assert getattr(sys, closed).name == os.devnull
