"""What is planned by: prices that price nothing are told."""

from __future__ import annotations

import pytest

from wan_operator.terms import find_unknown_prices


@pytest.mark.parametrize("name", ["NVIDIA-L4", "nvidia-h100-80gb-hbm3", "RTX 4090", "NVIDIA-L4-SHARED"])
def test_a_gpu_of_the_table_is_known_however_it_is_written(name: str) -> None:
    assert find_unknown_prices([name]) == ()


def test_a_gpu_of_a_node_is_known_though_the_table_lacks_it() -> None:
    assert find_unknown_prices(["Board 9"], ["NVIDIA-Board-9"]) == ()


def test_each_other_is_told_with_the_nearest_name() -> None:
    first, second = find_unknown_prices({"RTX 4091": 1.0, "L4": 0.8, "Board 9": 2.0}, ["NVIDIA-L4"])
    assert first.startswith(
        'planning.pricesPerGpuHour: "RTX 4091" is not in the table of GPUs; nearest: RTX 4090'
    )
    assert second.startswith('planning.pricesPerGpuHour: "Board 9" is not in the table of GPUs')
    assert second.endswith("its price counts only where a node's label says just that")
