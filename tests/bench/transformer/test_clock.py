"""How often something is measured, and what a CPU cannot tell."""

from __future__ import annotations

import time

import pytest
import torch

from bench.transformer.clock import Joules, measure, peak_memory

CPU = torch.device("cpu")


def test_a_call_is_repeated_as_often_as_asked() -> None:
    assert len(measure(lambda: None, CPU, 5).seconds) == 5


def test_with_no_time_left_it_is_measured_once() -> None:
    assert len(measure(lambda: None, CPU, 5, until=time.monotonic()).seconds) == 1


def test_long_calls_are_repeated_at_least_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.transformer.clock.ENOUGH_S", 0)
    assert len(measure(lambda: None, CPU, 5).seconds) == 2


def test_a_cpu_says_why_it_has_no_energy_and_tells_no_peak() -> None:
    counter = Joules(CPU)
    assert counter.read() is None
    assert "cpu" in counter.why
    assert peak_memory(CPU) is None
