"""`wan weights cache stats` and `clear` at the shell: what they print, and their exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from wan_core.cli import app
from wan_core.errors import TABLE, Category
from wan_core.weights.prepared_folder import FOLDER, Counts, add_counts, digest_of, write_value


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """With two values, and what was counted when they were made and found."""
    root = tmp_path / FOLDER
    for number in range(2):
        write_value(root, digest_of({"number": number}), [b"x" * 1024])
    add_counts(root, Counts(misses=2, bytes_stored=2048))
    add_counts(root, Counts(hits=3, bytes_read=3072, seconds_saved=12.34))
    return tmp_path


def wan(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["weights", "cache", *arguments])


def test_what_is_kept_and_what_it_saved(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAN_PREPARED_MAX_BYTES", raising=False)
    told = wan("stats", "--cache", str(cache))
    assert told.exit_code == 0
    assert told.output.splitlines() == [
        f"folder  {cache}/prepared",
        "values  2, 2.0 KiB of at most 2.0 GiB",
        "found   3 times, 3.0 KiB read",
        "made    2 times, 2.0 KiB written",
        "saved   12.3 s",
    ]


def test_the_same_for_programs(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAN_PREPARED_MAX_BYTES", "500M")
    assert json.loads(wan("stats", "--cache", str(cache), "-o", "json").output) == {
        "folder": f"{cache}/prepared",
        "values": 2,
        "bytes": 2048,
        "maxBytes": 500_000_000,
        "hits": 3,
        "misses": 2,
        "bytesRead": 3072,
        "bytesStored": 2048,
        "secondsSaved": 12.34,
    }


def test_cleared_it_is_empty_and_counts_from_nothing(cache: Path) -> None:
    assert wan("clear", "--cache", str(cache)).output == "removed: 2 values, 2.0 KiB\n"
    told = json.loads(wan("stats", "--cache", str(cache), "-o", "json").output)
    assert (told["values"], told["bytes"], told["hits"], told["secondsSaved"]) == (0, 0, 0, 0)
    assert wan("clear", "--cache", str(cache)).output == "removed: 0 values, 0 B\n"


def test_a_machine_on_which_nothing_ran_has_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    assert "values  0, 0 B" in wan("stats").output
    assert wan("clear").exit_code == 0
    assert list(tmp_path.iterdir()) == []


FAULTS: dict[str, tuple[str, dict[str, str], Category, str]] = {
    "no such folder": ("none", {}, Category.INVALID_INPUT, "there is no such folder"),
    "a file in its place": ("odd", {}, Category.ACCESS_DENIED, "Not a directory"),
    "no limit": (
        ".",
        {"WAN_PREPARED_MAX_BYTES": "much"},
        Category.INVALID_INPUT,
        "'much' is not a number of",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_line_and_an_exit_code(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, environment, category, words = FAULTS[name]
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / FOLDER).touch()
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    told = wan("stats", "--cache", str(tmp_path / folder))
    assert told.exit_code == TABLE[category].exit_code
    assert words in told.output
    assert told.output.startswith("wan: ")
    assert told.output.count("\n") == 1


def test_nothing_heavy_is_loaded(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom wan_core.cli import app\n"
        f"try:\n    app(['weights', 'cache', 'stats', '--cache', {str(tmp_path)!r}], prog_name='wan')\n"
        "except SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'numpy', 'safetensors', 'boto3') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "[]"
