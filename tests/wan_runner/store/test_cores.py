"""Whether cores are what holds a download back, told from the kernel's counters."""

from __future__ import annotations

from pathlib import Path

import pytest

from wan_core import cgroups
from wan_runner.store import cores
from wan_runner.store.cores import Reading, are_scarce, read_cores


@pytest.mark.parametrize(
    ("used", "idle", "scarce"),
    [
        pytest.param(1.5, (0.1,), True, id="nothing is idle, and we use it"),
        pytest.param(1.5, (6.0,), False, id="six cores are idle"),
        pytest.param(0.1, (0.0,), False, id="others keep the cores busy, we need few"),
        pytest.param(1.9, (60.0, 0.1), True, id="our group may use no more of a large machine"),
        pytest.param(1.5, (), False, id="nothing is known"),
    ],
)
def test_cores_are_scarce_where_none_is_idle_because_of_us(
    used: float, idle: tuple[float, ...], scarce: bool
) -> None:
    before = Reading(10.0, tuple(100.0 for _ in idle))
    after = Reading(10.0 + 2 * used, tuple(100.0 + 2 * each for each in idle))
    assert are_scarce(before, after, 2.0) == scarce


def test_the_kernel_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  10 0 20 3000 500 0 0 0 0 0\ncpu0 10 0 20 3000 500 0 0 0 0 0\n", encoding="ascii")
    monkeypatch.setattr(cores, "STAT", stat)
    monkeypatch.setattr(cores, "read_cpu_limit", lambda: None)
    monkeypatch.setattr(cores.os, "sysconf", lambda name: 100)
    assert read_cores().idle == (35.0,)


def test_where_nothing_is_told_nothing_holds_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "STAT", tmp_path / "none")
    monkeypatch.setattr(cgroups, "MEMBERSHIP", tmp_path / "none")
    assert read_cores().idle == ()


@pytest.mark.parametrize(
    ("own", "above", "limit"),
    [
        pytest.param("max 100000", "max 100000", None, id="no limit"),
        pytest.param("150000 100000", "max 100000", 1.5, id="our own"),
        pytest.param("400000 100000", "200000 100000", 2.0, id="the stricter one above"),
        pytest.param("", "", None, id="no such file"),
    ],
)
def test_the_strictest_limit_of_the_groups_holds(
    own: str, above: str, limit: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = tmp_path / "pods" / "ours"
    group.mkdir(parents=True)
    for folder, text in ((group, own), (group.parent, above)):
        if text:
            (folder / "cpu.max").write_text(text + "\n", encoding="ascii")
    membership = tmp_path / "membership"
    membership.write_text("0::/pods/ours\n", encoding="ascii")
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    monkeypatch.setattr(cgroups, "MEMBERSHIP", membership)
    assert cgroups.read_cpu_limit() == limit
