"""Cases within a time limit, and what is left of a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.transformer.case import OURS_TORCH, OURS_TRITON
from bench.transformer.conduct import CASES, OURS, Findings, conduct, resolve
from bench.transformer.preparations import CONTESTANTS
from bench.transformer.workloads import A14B_480P, A14B_720P, WORKLOADS

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def findings(tmp_path: Path) -> Findings:
    return Findings(tmp_path / "found.json", {"command": "bench", "small": True})


def speed(contestant: str, seconds: float, workload: str = A14B_480P) -> dict[str, Any]:
    return {"table": "speed", "workload": workload, "contestant": contestant, "s_a_step": seconds}


def test_every_case_names_a_shape_and_a_contestant_that_there_are() -> None:
    assert {case.workload for case in CASES} == {"", *WORKLOADS}
    assert {case.contestant for case in CASES} == {"", OURS, *CONTESTANTS}
    assert len({case.title for case in CASES}) == len(CASES)


@pytest.mark.parametrize(
    ("rows", "contestant"),
    [
        ([], OURS_TORCH),
        ([speed(OURS_TORCH, 5.0), speed(OURS_TRITON, 4.0)], OURS_TRITON),
        ([speed(OURS_TRITON, 6.0)], OURS_TRITON),
        ([speed(OURS_TORCH, 5.0), speed(OURS_TRITON, 1.0, A14B_720P)], OURS_TORCH),
    ],
    ids=["none measured", "the faster", "the only one", "at the first shape"],
)
def test_ours_is_the_faster_one(findings: Findings, rows: list[dict[str, Any]], contestant: str) -> None:
    for row in rows:
        findings.add("rows", row)
    assert resolve(OURS, findings) == contestant


def test_each_row_is_in_the_file_once_it_is_found(findings: Findings) -> None:
    findings.add("rows", speed(OURS_TORCH, 5.0))
    assert json.loads(findings.file.read_text())["rows"] == [speed(OURS_TORCH, 5.0)]


@pytest.mark.slow
def test_what_there_is_no_time_for_is_named(findings: Findings) -> None:
    conduct(CASES[:2], findings, 0, dict(os.environ))
    assert [entry["case"] for entry in findings.document["left_out"]] == [case.title for case in CASES[:2]]


@pytest.mark.slow
def test_a_case_that_takes_too_long_is_stopped_and_says_so(
    findings: Findings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.transformer.conduct.LEAST_S", 0)
    conduct(CASES[1:2], findings, 0.5, dict(os.environ))
    (failed,) = findings.document["failed"]
    assert "time limit" in failed["why"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_kind_of_case_runs_on_a_cpu_at_small_sizes(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    command = [sys.executable, "-m", "bench.transformer", "gpu", "--json", str(file)]
    small = ["--device", "cpu", "--small", "--compiler", "aot_eager", "--only", "832x480"]
    told = subprocess.run([*command, *small], cwd=ROOT, capture_output=True, text=True, check=True)
    document = json.loads(file.read_text())
    assert {row["table"] for row in document["rows"]} == {case.what for case in CASES}
    assert all("triton" in entry["case"] for entry in document["failed"])
    assert all("Triton does not compile for cpu" in entry["why"] for entry in document["failed"])
    assert not document["left_out"]
    same = [row for row in document["rows"] if row["table"] == "sameness"]
    assert OURS_TORCH in {row["contestant"] for row in same}
    assert all(row["times_default"] <= 1.1 for row in same)
    assert "### A step by kind of kernel" in told.stdout
