"""This machine as an inventory, within the limits set on it."""

from __future__ import annotations

import pytest

from wan_core import cgroups
from wan_core.cgroups import Limit
from wan_operator.machine import read_inventory


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
