"""`wan bench parity` as it is called: its table, its exit codes, its faults in words."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from wan_core import cli
from wan_runner.parity import print_findings


def test_the_table_fits_eighty_columns() -> None:
    written = StringIO()
    row = {"dtype": "bf16", "relative_l2": 8e-3, "max_abs": 0.1, "theirs": 8.1e-3, "ratio": 0.976}
    findings = [
        SimpleNamespace(part="transformer", gate="ratio <= 1.1", passes=True, **row),
        SimpleNamespace(part="transformer_2", gate="L2 <= 1e-05", passes=False, **row),
    ]
    print_findings(Console(file=written, width=80), "wan-tiny on cpu", findings)
    _title, _legend, *table = written.getvalue().splitlines()
    assert "…" not in written.getvalue()
    assert [line.split()[0] for line in table if line.rstrip().endswith(("passes", "FAILS"))] == [
        "transformer",
        "transformer_2",
    ]


@pytest.mark.slow  # imports diffusers
def test_a_tiny_model_passes() -> None:
    done = CliRunner().invoke(cli.app, ["bench", "parity", "--dtype", "fp32", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("wan-tiny on cpu, against diffusers in float32 (diffusers ")
    assert done.output.count("passes") == 2


@pytest.mark.slow  # imports diffusers
def test_a_gate_that_fails_is_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    from wan_core.pipeline import parity

    monkeypatch.setattr(parity, "FLOAT32_GATE", 1e-9)
    done = CliRunner().invoke(cli.app, ["bench", "parity", "--dtype", "fp32", "--device", "cpu"])
    assert done.exit_code == 1
    assert done.output.count("FAILS") == 2


@pytest.mark.slow  # imports diffusers
@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        pytest.param(["--model", "absent"], 66, "absent: there is no such folder", id="no folder"),
        pytest.param(["--device", "abacus"], 64, "--device: ", id="no device"),
        pytest.param(["--attention", "fnord"], 64, "there is no attention backend 'fnord'", id="no backend"),
        pytest.param(["--attention", "cudnn"], 64, "does not run on cpu", id="a backend for GPUs"),
    ],
)
def test_a_fault_is_one_line(
    options: list[str], code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.app, ["bench", "parity", "--device", "cpu", *options])
    assert done.exit_code == code
    assert done.stderr.startswith("wan: ")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
