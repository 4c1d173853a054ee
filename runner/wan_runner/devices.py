"""What this process may use: the GPU through torch, the host through the kernel's own files.

Free host memory is the least of what the machine, the control group and the process' own limits leave. torch
is imported only to ask a GPU. Not covered: more than one GPU (the first visible one counts), swap.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

from wan_core import cgroups
from wan_core.plan.inventory import Device

GIB = 2**30


def find_gpu() -> Device | None:
    """The first CUDA device that torch sees, with what is free on it now; None without one."""
    if not gpu_may_exist():
        return None
    import torch

    from wan_core.devices import CUDA, apply_allocator

    if torch.version.cuda:  # now: to ask which architecture it is makes the allocator; it is one for all
        apply_allocator(next(iter(CUDA.values())))
    if not torch.cuda.is_available():
        return None
    free, total = torch.cuda.mem_get_info(0)
    properties = torch.cuda.get_device_properties(0)
    return Device(
        kind="cuda",
        product=properties.name,
        total_gib=total / GIB,
        free_gib=free / GIB,
        host_free_gib=read_host_memory()[1] / GIB,
        compute_capability=(properties.major, properties.minor),
    )


def gpu_may_exist() -> bool:
    """False where the kernel shows no GPU device: then torch need not be imported to know that there is
    none.
    """
    return any(Path(p).exists() for p in ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd"))


def find_cpu() -> Device:
    """The host as a device."""
    total, free = read_host_memory()
    return Device(
        kind="cpu",
        product=f"CPU ({count_cpus()} cores)",
        total_gib=total / GIB,
        free_gib=free / GIB,
        host_free_gib=free / GIB,
    )


def read_rss(statm: Path = Path("/proc/self/statm")) -> int | None:
    """Resident memory of this process in bytes; None where the kernel does not tell."""
    words = _read_words(statm)
    return int(words[1]) * os.sysconf("SC_PAGE_SIZE") if len(words) > 1 else None


def read_device_use() -> int | None:
    """What torch's allocator holds of the GPU, in bytes; None before it is used. Imports nothing."""
    cuda = sys.modules.get("torch.cuda")
    is_initialized = getattr(cuda, "is_initialized", None)  # absent while it is being imported
    if cuda is None or is_initialized is None or not is_initialized():
        return None
    return int(cuda.memory_reserved())


def count_cpus(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Whole CPUs that this process may keep busy: affinity and control group quota, at least 1."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _read_words(cgroup / "cpu.max")
    if len(quota) == 2 and quota[0] != "max":
        cpus = min(cpus, int(quota[0]) // int(quota[1]))
    return max(1, cpus)


def read_host_memory() -> tuple[int, int]:
    """(total, free) bytes of host memory for this process."""
    groups = [(limit.bytes, limit.free) for limit in cgroups.read_limits()]
    limits = [_read_machine(), *groups, *_read_rlimit()]
    return min(total for total, _ in limits), max(0, min(free for _, free in limits))


def _read_machine(meminfo: Path = Path("/proc/meminfo")) -> tuple[int, int]:
    if meminfo.exists():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return tuple(int(fields[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))  # type: ignore[return-value]
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return total, _read_vm_stat()


def _read_vm_stat() -> int:
    """macOS: free, inactive, speculative and purgeable pages, as Activity Monitor counts them."""
    text = subprocess.run(["/usr/bin/vm_stat"], capture_output=True, text=True, check=True).stdout
    pages = dict(line.split(":", 1) for line in text.splitlines()[1:] if ":" in line)
    names = ("Pages free", "Pages inactive", "Pages speculative", "Pages purgeable")
    return sum(int(pages[n].strip().rstrip(".")) for n in names if n in pages) * os.sysconf("SC_PAGE_SIZE")


def _read_rlimit() -> list[tuple[int, int]]:
    """A limit on address space, less what is mapped already (where the kernel tells)."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY:
        return []
    mapped = _read_words(Path("/proc/self/statm"))
    return [(soft, soft - (int(mapped[0]) * os.sysconf("SC_PAGE_SIZE") if mapped else 0))]


def _read_words(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []
