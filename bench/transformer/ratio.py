"""Ours against diffusers on this CPU: the same process, one sample of each in turn, medians of five.

Both eager, PyTorch's own attention, float32: what a CPU runs here. Ours has its text prepared once a prompt;
diffusers projects it in each forward, as its pipelines do.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch

from bench.transformer.clock import Timing, time_once
from bench.transformer.contestants import Contestant, build_diffusers, build_ours
from bench.transformer.speed import step
from bench.transformer.workloads import SLICE, TINY, Workload

CPU = torch.device("cpu")
DTYPE = torch.float32
SAMPLES = 5
STEPS: Mapping[Workload, int] = MappingProxyType({TINY: 20, SLICE: 1})
"""In a sample, so that it takes a second or longer."""


def measure_ratios() -> Iterator[dict[str, Any]]:
    """A row for each model."""
    for workload, steps in STEPS.items():
        yield {"workload": workload.name, "load": os.getloadavg()[0], **compare(workload, steps)}


def compare(workload: Workload, steps: int) -> dict[str, Any]:
    """Seconds a step of both, and how many steps of ours take the time of one of diffusers'."""
    ours, theirs = build_ours(workload, CPU, DTYPE), build_diffusers(workload, CPU, DTYPE)
    taken: dict[str, list[float]] = {"ours": [], "diffusers": []}
    with torch.no_grad():
        step(ours), step(theirs)
        for turn in range(SAMPLES):
            pair = [("ours", ours), ("diffusers", theirs)]
            for name, contestant in pair if turn % 2 else reversed(pair):
                taken[name].append(time_once(repeated(contestant, steps), CPU) / steps)
    return {
        **{f"{name}_s": statistics.median(found) for name, found in taken.items()},
        **{f"{name}_spread": list(Timing(tuple(found)).spread) for name, found in taken.items()},
        "ratio": statistics.median(taken["diffusers"]) / statistics.median(taken["ours"]),
    }


def repeated(contestant: Contestant, steps: int) -> Callable[[], None]:
    def call() -> None:
        for _ in range(steps):
            step(contestant)

    return call
