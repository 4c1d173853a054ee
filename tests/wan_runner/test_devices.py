from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from wan_runner import devices
from wan_runner.devices import GIB, count_cpus, find_cpu, read_host_memory

MEMINFO = "MemTotal:       16777216 kB\nMemFree:         1048576 kB\nMemAvailable:    8388608 kB\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_what_is_available_counts_not_what_is_free(tmp_path: Path) -> None:
    root = write(tmp_path, {"meminfo": MEMINFO})
    assert devices._read_machine(root / "meminfo") == (16 * GIB, 8 * GIB)


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [("max 100000", None), ("100000 100000", 1), ("50000 100000", 1)],
    ids=["no quota", "one", "half a one"],
)
def test_a_quota_limits_the_threads(quota: str, cpus: int | None, tmp_path: Path) -> None:
    root = write(tmp_path, {"cpu.max": quota})
    assert count_cpus(root) == (cpus or len(os.sched_getaffinity(0)))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_AS is enforced on Linux")
def test_a_limit_on_the_process_counts() -> None:
    limit = 3 * GIB
    code = "from wan_runner.devices import read_host_memory; print(*read_host_memory())"
    out = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    ).stdout
    total, free = map(int, out.split())
    assert total <= limit
    assert free < total


def test_the_host_as_a_device() -> None:
    device = find_cpu()
    assert (device.kind, device.product) == ("cpu", f"CPU ({count_cpus()} cores)")
    assert 0 < device.free_gib <= device.total_gib
    assert device.host_free_gib == device.free_gib
    assert read_host_memory()[0] > 0
