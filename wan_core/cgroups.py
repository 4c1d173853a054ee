"""The control group of this process, version 1 or 2: what memory and CPU it may take, what it takes, who was
killed.

Reads the kernel's own files; where there are none (no Linux, nothing mounted), nothing is limited and nothing
is told. Page cache that the kernel drops first does not count as used: kubelet's "working set". A limit may
stand on our own group or on any above it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
UNLIMITED = 2**60  # version 1 writes a number near 2**63 for "no limit"


@dataclass(frozen=True)
class Names:
    """What a version calls its files, and a line of memory.stat."""

    limit: str
    used: str
    reclaimable: str
    events: str


@dataclass(frozen=True)
class Limit:
    """A limit in bytes, and what is used of it."""

    bytes: int
    used: int

    @property
    def free(self) -> int:
        return self.bytes - self.used


V1 = Names("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "memory.oom_control")
V2 = Names("memory.max", "memory.current", "inactive_file", "memory.events")


def read_limits() -> list[Limit]:
    """Every memory limit that holds for us."""
    found = []
    for folder, names in _groups():
        limit = _read_number(folder / names.limit)
        if limit is not None and limit < UNLIMITED:
            found.append(Limit(limit, _read_used(folder, names) or 0))
    return found


def read_used() -> int | None:
    """What our own group uses, in bytes; None where the kernel does not tell."""
    used = (_read_used(folder, names) for folder, names in _groups())
    return next((count for count in used if count is not None), None)


def read_oom_kills() -> int | None:
    """How many processes the kernel's OOM killer has ended in our group; None where it does not tell."""
    counts = (_read_counts(folder / names.events).get("oom_kill") for folder, names in _groups())
    return next((count for count in counts if count is not None), None)


def read_cpu_limit() -> float | None:
    """How many cores we may keep busy, by the strictest limit; None without one. Version 2 only."""
    limits = []
    for folder, _ in _groups():
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        if quota.isdigit():
            limits.append(int(quota) / int(period))
    return min(limits, default=None)


def _groups() -> Iterator[tuple[Path, Names]]:
    """Our group's folder and those above it, version 2 first."""
    try:
        lines = MEMBERSHIP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    entries = [line.split(":", 2) for line in lines]
    for top, names, controller in ((ROOT, V2, ""), (ROOT / "memory", V1, "memory")):
        paths = [path for _, controllers, path in entries if controller in controllers.split(",")]
        for own in (top / path.lstrip("/") for path in paths):
            yield from ((folder, names) for folder in (own, *own.parents) if folder.is_relative_to(top))


def _read_used(folder: Path, names: Names) -> int | None:
    used = _read_number(folder / names.used)
    if used is None:
        return None
    return max(used - _read_counts(folder / "memory.stat").get(names.reclaimable, 0), 0)


def _read_counts(path: Path) -> dict[str, int]:
    """A file of `name number` lines; empty if there is no such file."""
    words = [line.split() for line in _read(path).splitlines()]
    return {pair[0]: int(pair[1]) for pair in words if len(pair) == 2 and pair[1].isdigit()}


def _read_number(path: Path) -> int | None:
    """The number in a file; None if there is no file or no limit ("max")."""
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
