from __future__ import annotations

import pytest

from wan_core.catalog.gpu_card import GpuCard
from wan_core.catalog.gpus import GPUS
from wan_core.plan.peaks import find_peak

BY_NAME = {gpu.name: gpu for gpu in GPUS}


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.name)
def test_every_card_has_a_peak_in_float32_and_in_bf16_if_it_can(gpu: GpuCard) -> None:
    assert find_peak(gpu, "fp32") is not None
    assert (find_peak(gpu, "bf16") is None) == ("bf16" in gpu.cannot)


def test_a_peak_that_a_source_tells_is_a_point() -> None:
    found = find_peak(BY_NAME["L4"], "bf16")
    assert found is not None
    assert found.is_point
    assert found.low == 121e12


def test_a_peak_that_none_tells_is_between_those_of_its_kin() -> None:
    found = find_peak(BY_NAME["GB10"], "bf16")
    assert found is not None
    assert BY_NAME["GB10"].tflops["fp4"] * 1e12 / 10 < found.low <= found.high < 500e12
