"""Attention alone: what cannot run has a row that says why, and costs the others nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bench.transformer import kernels
from bench.transformer.preparations import Setting
from bench.transformer.workloads import SMALL_480P, WORKLOADS, shrink
from wan_core.kernels import attention

SMALL = shrink(WORKLOADS[SMALL_480P])


def test_a_package_that_cannot_be_loaded_is_told_in_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def activate(_name: str) -> None:
        raise RuntimeError("undefined symbol")

    broken = replace(attention.BACKENDS["fa3"], devices=("cpu",), architectures=(), package="")
    backends = {"fa3": broken, "math": attention.BACKENDS["math"], "cudnn": attention.BACKENDS["cudnn"]}
    for module in (attention, kernels):
        monkeypatch.setattr(module, "BACKENDS", backends)
    monkeypatch.setattr(attention.torch_attention, "activate_flash_attention_impl", activate)
    setting = Setting(torch.device("cpu"), torch.bfloat16, "eager")
    rows = {row["backend"]: row for row in kernels.measure_attention(SMALL, setting, SMALL.tokens)}
    assert rows["fa3"]["refused"] == "attention backend fa3 cannot be loaded: undefined symbol"
    assert rows["cudnn"]["refused"] == "does not run on cpu"
    assert rows["math"]["ms"] > 0
    assert rows["math"]["error"] < 0.01
