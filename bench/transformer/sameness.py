"""Whether what is measured computes the same: each contestant against diffusers in float32, same weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from bench.transformer.case import BEST, DEFAULT, OUR_OWN
from bench.transformer.contestants import build_diffusers
from bench.transformer.preparations import CONTESTANTS, Setting
from bench.transformer.workloads import Workload
from wan_core.kernels.triton_ops import OpsUnavailable


def measure_sameness(workload: Workload, setting: Setting) -> Iterator[dict[str, Any]]:
    """A row for each contestant: relative L2 to float32, and how many times that of diffusers as it comes."""
    stock = build_diffusers(workload, setting.device, torch.float32)
    with torch.no_grad():
        exact = stock.forward(0)
    same = replace(setting, weights=stock.model.state_dict())
    default = None
    for name in (DEFAULT, BEST, *OUR_OWN):
        try:
            contestant = CONTESTANTS[name](workload, same)
        except OpsUnavailable:
            continue
        with torch.no_grad():
            error = ((contestant.forward(0).float() - exact).norm() / exact.norm()).item()
        default = default or error  # it is the first
        yield {
            "workload": workload.name,
            "contestant": name,
            "runs_on": contestant.note,
            "error": error,
            "times_default": error / default,
        }
