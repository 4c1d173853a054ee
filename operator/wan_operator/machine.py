"""This machine as an Inventory: GPUs as NVML reports them, memory within the limits set on us.

Reads the system, starts nothing. Without an NVIDIA driver there are no GPUs; the CPU remains.
"""

from __future__ import annotations

import os
import socket

from wan_core import cgroups
from wan_core.plan.inventory import Gpu, Inventory, Node

GIB = 1 << 30


def read_inventory() -> Inventory:
    """This machine, with what is free now, in GiB."""
    import psutil

    memory = psutil.virtual_memory()
    total, free = memory.total, memory.available
    for limit in cgroups.read_limits():
        total, free = min(total, limit.bytes), max(min(free, limit.free), 0)
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
