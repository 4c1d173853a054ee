"""This machine as an Inventory: GPUs as NVML reports them, memory within the limits set on us.

Reads the system, starts nothing. Without an NVIDIA driver there are no GPUs; the CPU remains.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from wan_core.plan.inventory import Gpu, Inventory, Node

GIB = 1 << 30
CGROUP_ROOT = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def read_inventory() -> Inventory:
    """This machine, with what is free now, in GiB."""
    import psutil

    memory = psutil.virtual_memory()
    total, free = memory.total, memory.available
    limit, used = read_memory_limit()
    if limit is not None and limit < total:
        total, free = limit, min(free, max(limit - used, 0))
    node = Node(
        name=node_name(),
        gpus=read_gpus(),
        host_memory_gib=total / GIB,
        host_free_gib=free / GIB,
    )
    return Inventory(nodes=(node,))


def node_name() -> str:
    """What this machine calls itself."""
    return socket.gethostname() or "localhost"


def read_gpus() -> tuple[Gpu, ...]:
    """The GPUs that NVML and CUDA_VISIBLE_DEVICES show; none without the library or the driver."""
    try:
        import pynvml  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        return ()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        uuids = [pynvml.nvmlDeviceGetUUID(handle) for handle in handles]
        return tuple(_read_gpu(h) for i, h in enumerate(handles) if is_visible(i, uuids[i], visible))
    finally:
        pynvml.nvmlShutdown()


def is_visible(index: int, uuid: str, visible: str | None) -> bool:
    """Whether CUDA_VISIBLE_DEVICES (indices or prefixes of UUIDs; unset: all) names the GPU."""
    if visible is None:
        return True
    names = [name.strip() for name in visible.split(",") if name.strip()]
    return any(name == str(index) or (name.startswith("GPU-") and uuid.startswith(name)) for name in names)


def _read_gpu(handle: object) -> Gpu:
    import pynvml

    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        product=pynvml.nvmlDeviceGetName(handle),
        memory_gib=memory.total / GIB,
        free_gib=memory.free / GIB,
        compute_capability=(major, minor),
    )


def read_memory_limit() -> tuple[int | None, int]:
    """The tightest memory limit of our cgroup and its parents, and what is used of it, in bytes.

    File cache that the kernel drops first does not count as used: kubelet's "working set".
    """
    found: tuple[int | None, int] = (None, 0)
    v2 = [(f, "memory.max", "memory.current", "inactive_file") for f in _folders("")]
    v1 = [
        (f, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        for f in _folders("memory")
    ]
    for folder, limit_name, used_name, cache_name in [*v2, *v1]:
        limit = _read_number(folder / limit_name)
        if limit is not None and (found[0] is None or limit < found[0]):
            used = _read_number(folder / used_name) or 0
            found = (limit, max(used - _read_counts(folder / "memory.stat").get(cache_name, 0), 0))
    return found


def read_oom_kills() -> int | None:
    """How many processes the kernel's OOM killer has ended in our cgroup; None where it does not tell."""
    v2 = [folder / "memory.events" for folder in _folders("")]
    v1 = [folder / "memory.oom_control" for folder in _folders("memory")]
    counts = (_read_counts(path).get("oom_kill") for path in [*v2, *v1])
    return next((count for count in counts if count is not None), None)


def _read_counts(path: Path) -> dict[str, int]:
    """A file of `name number` lines; empty if there is no such file."""
    try:
        words = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    except OSError:
        return {}
    return {pair[0]: int(pair[1]) for pair in words if len(pair) == 2 and pair[1].isdigit()}


def _folders(controller: str) -> list[Path]:
    """Our cgroup's folder and its parents, for a v1 controller, or "" for the unified hierarchy."""
    try:
        lines = OWN_CGROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    entries = [line.split(":", 2) for line in lines]
    path = next((p for _, names, p in entries if controller in names.split(",")), None)
    if path is None:
        return []
    root = CGROUP_ROOT / controller if controller else CGROUP_ROOT
    below = root / path.lstrip("/")
    return [below, *(p for p in below.parents if p == root or root in p.parents)]


def _read_number(path: Path) -> int | None:
    """The number in a cgroup file; None if there is no file or no limit ("max")."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
