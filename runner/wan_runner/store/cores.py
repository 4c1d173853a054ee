"""How much computing is left for more connections: where no core is idle, they only take from each other.

Reads the kernel's counters; where there are none (no Linux, no limit), nothing is told or held back.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from wan_core.cgroups import read_cpu_limit

STAT = Path("/proc/stat")
SCARCE = 0.5  # cores


@dataclass(frozen=True)
class Reading:
    """Core-seconds so far; only differences mean something.

    `idle`: what was left over by this machine, and by us of what our group may use, as far as each is known.
    """

    used: float
    idle: tuple[float, ...]


def read_cores() -> Reading:
    """What we used and what was left over."""
    used = time.process_time()
    limit = read_cpu_limit()
    of_group = () if limit is None else (limit * time.monotonic() - used,)
    return Reading(used, (*_idle_of_machine(), *of_group))


def are_scarce(before: Reading, after: Reading, seconds: float) -> bool:
    """Whether cores held us back between two readings: hardly any was idle, and we were a reason for it.

    Where others keep the cores busy and we need few, more connections still get their share.
    """
    idle = [(late - early) / seconds for early, late in zip(before.idle, after.idle, strict=False)]
    return min(idle, default=SCARCE) < SCARCE <= (after.used - before.used) / seconds


def _idle_of_machine() -> tuple[float, ...]:
    """The fields idle and iowait of the first line (proc_stat(5)), which counts all cores."""
    try:
        fields = STAT.read_text(encoding="ascii").partition("\n")[0].split()
    except OSError:
        return ()
    return ((int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK"),)
