"""What a document of a run says as Markdown."""

from __future__ import annotations

from typing import Any

import pytest

from bench.transformer.case import DEFAULT, OURS_TORCH, OURS_TRITON
from bench.transformer.report import as_markdown, judge, judge_sameness
from bench.transformer.workloads import A14B_480P, A14B_720P, TI2V_704P


def row(workload: str, contestant: str, seconds: float, bytes_a_token: float = 60_000) -> dict[str, Any]:
    return {
        "table": "speed",
        "workload": workload,
        "contestant": contestant,
        "s_a_step": seconds,
        "s_a_step_spread": [seconds, seconds],
        "steps": 5,
        "activation_bytes_a_token": bytes_a_token,
    }


def document(device: str, *rows: dict[str, Any], small: bool = False) -> dict[str, Any]:
    run = {"command": "bench", "date": "2026-01-01", "commit": "abc", "small": small}
    return {
        "run": run,
        "rows": [{"table": "circumstances", "device": device}, *rows],
        "failed": [{"case": "a", "why": "out of memory", "words": []}],
        "left_out": [{"case": "b", "why": "3 s were left"}],
    }


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ([row(A14B_480P, OURS_TORCH, 5.0)], f"{A14B_480P}: at most 5.1 s/step: pass (5.000)"),
        ([row(A14B_480P, OURS_TORCH, 5.2)], f"{A14B_480P}: at most 5.1 s/step: FAIL (5.200)"),
        ([row(A14B_480P, OURS_TORCH, 4.8)], f"{A14B_480P}: 4.9 s/step: reached"),
        ([row(A14B_720P, OURS_TRITON, 19.0)], f"{A14B_720P}: 18.8 s/step: not reached"),
        ([], f"{TI2V_704P}: at most 1.6 s/step: not measured"),
        (
            [row(A14B_480P, OURS_TORCH, 6.0), row(A14B_480P, OURS_TRITON, 5.0)],
            f"{A14B_480P}: at most 5.1 s/step: pass (5.000)",
        ),
        (
            [row(A14B_480P, OURS_TORCH, 5.0, 80_000)],
            f"{A14B_480P}: at most 70000 bytes of activations a token: FAIL (80,000.000)",
        ),
        (
            [row(A14B_480P, OURS_TORCH, 5.0), row(A14B_480P, DEFAULT, 7.5)],
            f"{A14B_480P}: at least 1.5 times as fast as diffusers' default: pass (1.50)",
        ),
        (
            [row(A14B_480P, OURS_TORCH, 5.0), row(A14B_480P, DEFAULT, 7.0)],
            f"{A14B_480P}: at least 1.5 times as fast as diffusers' default: FAIL (1.40)",
        ),
        (
            [row(A14B_480P, DEFAULT, 7.0)],
            f"{A14B_480P}: at least 1.5 times as fast as diffusers' default: not measured",
        ),
    ],
    ids=[
        "fast enough",
        "too slow",
        "stretch reached",
        "stretch not reached",
        "not measured",
        "the faster of ours counts",
        "memory",
        "faster than diffusers",
        "not so much faster",
        "ours not measured",
    ],
)
def test_each_wanted_figure_is_judged(rows: list[dict[str, Any]], line: str) -> None:
    assert line in judge(rows)


@pytest.mark.parametrize(("times", "verdict"), [(1.05, "pass (1.050)"), (1.2, "FAIL (1.200)")])
def test_an_error_is_judged_against_that_of_diffusers(times: float, verdict: str) -> None:
    (line,) = judge_sameness(
        [{"contestant": DEFAULT, "times_default": 1.0}, {"contestant": OURS_TRITON, "times_default": times}]
    )
    assert line == f"{OURS_TRITON}: at most 1.1 times the error of diffusers as it comes: {verdict}"


@pytest.mark.parametrize(
    ("device", "small", "judged"),
    [
        ("NVIDIA H200", False, True),
        ("NVIDIA H200", True, False),
        ("NVIDIA A100-SXM4-80GB", False, False),
        ("x86_64", False, False),
    ],
    ids=["H200", "small models", "another GPU", "a CPU"],
)
def test_figures_are_judged_on_one_h200_alone(device: str, small: bool, judged: bool) -> None:
    assert ("### Wanted" in as_markdown(document(device, small=small))) == judged


def test_what_is_missing_is_said() -> None:
    shown = as_markdown(document("x86_64"))
    assert "- a: out of memory" in shown
    assert "- b: 3 s were left" in shown
    assert "### A step" not in shown


def test_a_figure_that_a_device_cannot_give_is_left_empty() -> None:
    given = row(A14B_480P, OURS_TORCH, 5.0)
    given |= {"joules_a_step": None, "share_of_peak": None}
    line = next(line for line in as_markdown(document("x86_64", given)).splitlines() if A14B_480P in line)
    assert "None" not in line
