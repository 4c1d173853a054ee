"""This machine as an inventory, within the limits set on it."""

from __future__ import annotations

import pytest

from wan_core import cgroups
from wan_core.cgroups import Limit
from wan_operator.machine import is_visible, read_inventory


def test_this_machine_is_one_node_with_memory() -> None:
    (node,) = read_inventory().nodes
    assert node.host_memory_gib > 0
    assert node.host_free_gib is not None
    assert 0 < node.host_free_gib <= node.host_memory_gib


def test_a_limit_of_the_control_group_is_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [Limit(1 << 30, 1 << 28), Limit(1 << 50, 1 << 20)]
    monkeypatch.setattr(cgroups, "read_limits", lambda: limits)
    (node,) = read_inventory().nodes
    assert node.host_memory_gib == 1
    assert node.host_free_gib == 0.75


@pytest.mark.parametrize(
    ("visible", "index", "seen"),
    [
        pytest.param(None, 1, True, id="unset shows all"),
        pytest.param("", 0, False, id="empty shows none"),
        pytest.param("0,2", 1, False, id="an index that is not named"),
        pytest.param("0, 1", 1, True, id="an index that is named"),
        pytest.param("GPU-11", 1, True, id="the start of a UUID"),
        pytest.param("GPU-22", 1, False, id="another UUID"),
        pytest.param("-1", 1, False, id="minus one hides all"),
    ],
)
def test_cuda_visible_devices_hides_gpus(visible: str | None, index: int, seen: bool) -> None:
    assert is_visible(index, "GPU-1122", visible) is seen
