"""`wan weights convert` at the shell: what it prints, and its exit codes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.wan_core.weights.models import same_bytes, save_transformer
from wan_core.cli import app
from wan_core.errors import TABLE, Category
from wan_core.weights.command import stopping
from wan_core.weights.schemes import Scheme
from wan_core.weights.shards import stored_tensors

HANDLERS = {
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
    signal.SIGINT: signal.default_int_handler,
}


@pytest.fixture
def as_at_a_shell() -> Iterator[None]:
    """Signals mean what they mean there, however the tests were started."""
    before = {number: signal.signal(number, handler) for number, handler in HANDLERS.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_transformer_goes_to_wan_and_back(tmp_path: Path) -> None:
    stored = save_transformer(tmp_path / "in")
    there = CliRunner().invoke(
        app, ["weights", "convert", f"{tmp_path}/in", f"{tmp_path}/wan", "--to", "wan"]
    )
    assert there.exit_code == 0, there.output
    assert there.output == f"in: 69 tensors, 0.002 GB, named by diffusers\nwritten: {tmp_path}/wan\n"
    arguments = ["weights", "convert", f"{tmp_path}/wan", f"{tmp_path}/back", "--to", "diffusers"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert same_bytes(dict(stored_tensors(tmp_path / "back")), stored)


@pytest.mark.parametrize(
    ("source", "target", "category", "told"),
    [
        pytest.param("nowhere", "out", Category.MODEL_NOT_FOUND, "nowhere: is not there", id="no source"),
        pytest.param("in", "in", Category.INVALID_INPUT, "is there already", id="no overwriting"),
        pytest.param("x.pth", "out", Category.TRUST_REMOTE_CODE, "x.pth: is a pickle", id="a pickle"),
        pytest.param("in/config.json", "out", Category.INTEGRITY_ERROR, "config.json: ", id="no weights"),
        pytest.param("in", "x.pth/out", Category.INVALID_INPUT, "x.pth: ", id="a file on the way"),
    ],
)
def test_a_fault_is_one_line_and_an_exit_code(
    tmp_path: Path, source: str, target: str, category: Category, told: str
) -> None:
    save_transformer(tmp_path / "in")
    (tmp_path / "x.pth").write_bytes(b"\x80")
    arguments = ["weights", "convert", str(tmp_path / source), str(tmp_path / target), "--to", "wan"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == TABLE[category].exit_code
    assert told in result.output
    assert result.output.startswith("wan: ")
    assert result.output.count("\n") == 1


@pytest.mark.usefixtures("as_at_a_shell")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_told_to_stop_it_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    from wan_core.weights import convert

    def written_half(_part: object, _scheme: Scheme, folder: Path, _stem: str) -> None:
        (folder / "half").touch()
        signal.raise_signal(number)

    save_transformer(tmp_path / "in")
    monkeypatch.setattr(convert, "write_part", written_half)
    arguments = ["weights", "convert", f"{tmp_path}/in", f"{tmp_path}/out", "--to", "wan"]
    stopped = CliRunner().invoke(app, arguments)
    assert stopped.exit_code == (130 if number is signal.SIGINT else TABLE[Category.INTERRUPTED].exit_code)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert {each: signal.getsignal(each) for each in HANDLERS} == HANDLERS


def test_what_nohup_ignores_is_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom wan_core.cli import app\n"
        "try:\n    app(['weights', 'convert', '--help'], prog_name='wan')\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'numpy', 'diffusers', 'safetensors') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "[]"


def test_a_scheme_that_there_is_not_is_told_before_anything_is_loaded() -> None:
    result = CliRunner().invoke(app, ["weights", "convert", "a", "b", "--to", "gguf"])
    assert result.exit_code == 2
    assert "gguf" in result.output
