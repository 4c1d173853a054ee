"""What the kernel's files say of our control group, in a tree of our own in their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from wan_core import cgroups
from wan_core.cgroups import Limit, read_limits, read_oom_kills, read_used

GIB = 2**30
V2 = {
    "memory.max": str(4 * GIB),
    "memory.current": str(3 * GIB),
    "memory.stat": f"anon 5\ninactive_file {GIB}\n",
}
V1 = {
    "memory.limit_in_bytes": str(4 * GIB),
    "memory.usage_in_bytes": str(3 * GIB),
    "memory.stat": f"total_inactive_file {GIB}\n",
}
FOUR = Limit(4 * GIB, 2 * GIB)


def below(folder: str, files: dict[str, str]) -> dict[str, str]:
    return {f"{folder}/{name}": text for name, text in files.items()}


GROUPS: dict[str, tuple[str, dict[str, str], list[Limit], int | None]] = {
    "none": ("", {}, [], None),
    "version 2 in a container": ("0::/\n", V2, [FOUR], 2 * GIB),
    "version 2 without a limit": ("0::/\n", {**V2, "memory.max": "max\n"}, [], 2 * GIB),
    "version 2 at the root, where the kernel has no such files": ("0::/\n", {}, [], None),
    "version 2, a service": ("0::/a.slice/w.service\n", below("a.slice/w.service", V2), [FOUR], 2 * GIB),
    "version 2, a limit above": (
        "0::/pods/c\n",
        {**below("pods", V2), **below("pods/c", {"memory.max": "max", "memory.current": "700"})},
        [FOUR],
        700,
    ),
    "version 2, two limits": (
        "0::/pods/c\n",
        {**below("pods", V2), **below("pods/c", {"memory.max": "900", "memory.current": "700"})},
        [Limit(900, 700), FOUR],
        700,
    ),
    "version 1": (
        "5:cpu,memory:/docker/c\n4:pids:/docker/c\n",
        below("memory/docker/c", V1),
        [FOUR],
        2 * GIB,
    ),
    "version 1 without a limit": (
        "5:memory:/\n",
        below("memory", {**V1, "memory.limit_in_bytes": "9223372036854771712"}),
        [],
        2 * GIB,
    ),
    "both mounted, memory in version 1": ("4:memory:/job\n0::/\n", below("memory/job", V1), [FOUR], 2 * GIB),
    "more cache than use": ("0::/\n", {**V2, "memory.current": "5"}, [Limit(4 * GIB, 0)], 0),
}


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cgroups, "ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(cgroups, "MEMBERSHIP", tmp_path / "own")
    return tmp_path


def put(root: Path, own: str, files: dict[str, str]) -> None:
    (root / "own").write_text(own)
    for name, text in files.items():
        path = root / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize("name", GROUPS)
def test_limits_and_use(name: str, kernel: Path) -> None:
    own, files, limits, used = GROUPS[name]
    put(kernel, own, files)
    assert (read_limits(), read_used()) == (limits, used)


@pytest.mark.parametrize(
    ("own", "file", "text"),
    [
        pytest.param("0::/a\n", "a/memory.events", "low 0\noom 2\noom_kill 3\n", id="version 2"),
        pytest.param(
            "4:memory:/a\n", "memory/a/memory.oom_control", "under_oom 0\noom_kill 3\n", id="version 1"
        ),
    ],
)
def test_kills_for_memory_are_counted(own: str, file: str, text: str, kernel: Path) -> None:
    put(kernel, own, {file: text})
    assert read_oom_kills() == 3


def test_a_machine_without_control_groups_has_no_limit_and_tells_of_no_kill(kernel: Path) -> None:
    assert (read_limits(), read_used(), read_oom_kills()) == ([], None, None)
