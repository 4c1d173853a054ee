"""This machine as an inventory, within the limits set on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from wan_operator import machine
from wan_operator.machine import is_visible, read_inventory, read_memory_limit, read_oom_kills


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty tree in place of the kernel's; `own` beside it says which group is ours."""
    monkeypatch.setattr(machine, "CGROUP_ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "OWN_CGROUPS", tmp_path / "own")
    return tmp_path


def put(root: Path, **files: str) -> None:
    """Files by path, `/` written as `__`, dots as `_dot_`."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_this_machine_is_one_node_with_memory() -> None:
    (node,) = read_inventory().nodes
    assert node.host_memory_gib > 0
    assert node.host_free_gib is not None
    assert 0 < node.host_free_gib <= node.host_memory_gib


def test_a_cgroup_limit_below_the_machines_memory_is_the_memory(cgroups: Path) -> None:
    put(
        cgroups,
        own="0::/a/b\n",
        cgroup__a__memory_dot_max=f"{1 << 30}\n",
        cgroup__a__memory_dot_current=f"{1 << 29}\n",
        cgroup__a__memory_dot_stat=f"anon 1\ninactive_file {1 << 28}\n",
        cgroup__a__b__memory_dot_max="max\n",
    )
    (node,) = read_inventory().nodes
    assert node.host_memory_gib == 1
    assert node.host_free_gib == 0.75


def test_the_tightest_limit_of_all_parents_counts(cgroups: Path) -> None:
    put(cgroups, own="0::/a/b\n", cgroup__a__memory_dot_max="700", cgroup__a__b__memory_dot_max="900")
    assert read_memory_limit()[0] == 700


def test_version_one_groups_are_read_too(cgroups: Path) -> None:
    put(
        cgroups,
        own="4:memory:/job\n0::/\n",
        cgroup__memory__job__memory_dot_limit_in_bytes="500",
        cgroup__memory__job__memory_dot_usage_in_bytes="300",
        cgroup__memory__job__memory_dot_oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    )
    assert read_memory_limit() == (500, 300)
    assert read_oom_kills() == 3


def test_kills_for_memory_are_counted(cgroups: Path) -> None:
    put(cgroups, own="0::/a\n", cgroup__a__memory_dot_events="low 0\noom 2\noom_kill 2\noom_group_kill 0\n")
    assert read_oom_kills() == 2


def test_a_machine_without_cgroups_has_no_limit_and_tells_of_no_kill(cgroups: Path) -> None:
    assert read_memory_limit() == (None, 0)
    assert read_oom_kills() is None


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
