"""This machine as an inventory, within the limits set on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from wan_core import cgroups
from wan_core.cgroups import Limit
from wan_operator.machine import list_unread, read_inventory


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
    ("devices", "silent", "told"),
    [
        ((), "NVML says: Driver Not Loaded", ()),
        (("nvidiactl",), "", ()),
        (("nvidiactl",), "NVML says: Unknown Error", ("NVIDIA GPUs (NVML says: Unknown Error)",)),
        (("dxg",), "nvidia-ml-py is not installed", ("NVIDIA GPUs (nvidia-ml-py is not installed)",)),
        (("kfd",), "NVML says: Driver Not Loaded", ("AMD GPUs (only NVIDIA's are read)",)),
    ],
    ids=["no GPU", "NVML answers", "a driver that is broken", "a library that is missing", "AMD's"],
)
def test_gpus_that_cannot_be_read_are_told(
    devices: tuple[str, ...], silent: str, told: tuple[str, ...], tmp_path: Path
) -> None:
    for name in devices:
        (tmp_path / name).touch()
    assert list_unread(silent, tmp_path) == told
