"""A memory limit on a process and its children: the kernel's control group, or else a watch on their size.

Both end the process with SIGKILL and say so. The limit is told to the process through its control group only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Protocol

import psutil

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
LOOK_S = 0.1  # how often a size is looked at
UNITS: dict[str, Decimal | int] = {
    "": 1,
    "m": Decimal("0.001"),
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
}
UNITS |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


class Limit(Protocol):
    """A limit on one container's memory."""

    def wrap(self, command: Sequence[str]) -> list[str]:
        """The command that runs `command` under the limit."""
        ...

    async def guard(self, pid: int) -> None:
        """Watch over the process as long as this runs."""
        ...

    def exceeded(self) -> bool:
        """Whether a process was ended for its memory."""
        ...

    @property
    def folder(self) -> str:
        """The control group's folder, if there is one."""
        ...

    def close(self) -> bool:
        """Give it back once the processes have ended; False while one has not quite."""
        ...


def read_bytes(quantity: str | int) -> int:
    """A Kubernetes quantity in bytes."""
    match = re.fullmatch(r"([0-9.]+(?:e[0-9]+)?)([A-Za-z]*)", str(quantity))
    if match is None or match[2] not in UNITS:
        raise ValueError(f"{quantity} is not a quantity of bytes")
    return int(Decimal(match[1]) * UNITS[match[2]])


def limit_memory(quantity: str | int | None, name: str, *, cgroups: bool = True) -> Limit:
    """The limit by control group where this machine lets us, else by watching."""
    if quantity is None:
        return NoLimit()
    size = read_bytes(quantity)
    group = make_cgroup(name, size) if cgroups else None
    return group or Watchdog(size)


class NoLimit:
    def wrap(self, command: Sequence[str]) -> list[str]:
        return list(command)

    async def guard(self, pid: int) -> None:
        return

    def exceeded(self) -> bool:
        return False

    @property
    def folder(self) -> str:
        return ""

    def close(self) -> bool:
        return True


class Cgroup(NoLimit):
    """A control group of its own, version 1 or 2."""

    def __init__(self, folder: Path, events: str) -> None:
        self._folder, self._events = folder, folder / events

    def wrap(self, command: Sequence[str]) -> list[str]:
        """A shell enters the group and becomes the command: no moment is spent outside."""
        enter = 'echo $$ > "$0" && exec "$@"'
        return ["/bin/sh", "-c", enter, str(self._folder / "cgroup.procs"), *command]

    def exceeded(self) -> bool:
        words = [line.split() for line in self._events.read_text().splitlines()]
        return any(word[0] == "oom_kill" and int(word[1]) > 0 for word in words)

    @property
    def folder(self) -> str:
        return str(self._folder)

    def close(self) -> bool:
        try:
            self._folder.rmdir()
        except OSError:  # a process that is just ending keeps it for a moment
            return False
        return True


class Watchdog(NoLimit):
    """Looks at the resident size of the process and its children, and ends them all above `size` bytes."""

    def __init__(self, size: int) -> None:
        self._size, self._exceeded = size, False

    async def guard(self, pid: int) -> None:
        while not self._exceeded:
            if resident_bytes(pid) > self._size:
                self._exceeded = True
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            await asyncio.sleep(LOOK_S)

    def exceeded(self) -> bool:
        return self._exceeded


def resident_bytes(pid: int) -> int:
    """Of the process and its children; what is gone counts nothing."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += one.memory_info().rss
    return total


def make_cgroup(name: str, size: int) -> Cgroup | None:
    """A new group below our own with this limit; None where we may not or there is no memory controller."""
    for parent, limit, swap, events in _places():
        folder = parent / name
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            (folder / limit).write_text(str(size))
        except OSError:  # no memory controller here, or no right
            folder.rmdir()
            continue
        with contextlib.suppress(OSError):  # where swap is not accounted
            (folder / swap[0]).write_text(swap[1] or str(size))
        return Cgroup(folder, events)
    return None


def _places() -> list[tuple[Path, str, tuple[str, str], str]]:
    """(parent, limit file, (swap file, its text or the limit's), events file) of each hierarchy."""
    places = []
    for line in MEMBERSHIP.read_text().splitlines() if MEMBERSHIP.exists() else []:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            own = ROOT / "memory" / path.lstrip("/")
            v1 = ("memory.limit_in_bytes", ("memory.memsw.limit_in_bytes", ""), "memory.oom_control")
            places += [(parent, *v1) for parent in (own, ROOT / "memory")]
        elif controllers == "":
            own = ROOT / path.lstrip("/")
            places += [(p, "memory.max", ("memory.swap.max", "0"), "memory.events") for p in (own, ROOT)]
    return places
