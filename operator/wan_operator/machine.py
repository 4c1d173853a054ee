"""This machine as an Inventory: GPUs as NVML reports them, memory within the limits set on us.

Reads the system, starts nothing. Without an NVIDIA driver there are no GPUs; the CPU remains. Memory that GPU
and host share is told in two parts that are not promised twice.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from wan_core import cgroups
from wan_core.plan.inventory import Gpu, Inventory, Node, share_unified
from wan_operator.nvml import Seen, choose_visible, read_seen

GIB = 1 << 30
NVIDIA_DEVICES = ("nvidiactl", "dxg")  # dxg: Windows' GPUs within WSL
AMD_DEVICE = "kfd"


def read_inventory() -> Inventory:
    """This machine, with what is free now, in GiB."""
    import psutil

    memory = psutil.virtual_memory()
    total, free = memory.total, memory.available
    for limit in cgroups.read_limits():
        total, free = min(total, limit.bytes), max(min(free, limit.free), 0)
    seen, silent = read_seen()
    visible = choose_visible(seen, os.environ.get("CUDA_VISIBLE_DEVICES"))
    node = build_node(node_name(), visible, total / GIB, free / GIB)
    return Inventory(nodes=(node,), left_out=list_unread(silent))


def list_unread(silent: str, devices: Path = Path("/dev")) -> tuple[str, ...]:
    """In words, GPUs that the kernel shows and we cannot read; `silent` is why NVML does not answer."""
    found = []
    if silent and any((devices / name).exists() for name in NVIDIA_DEVICES):
        found.append(f"NVIDIA GPUs ({silent})")
    if (devices / AMD_DEVICE).exists():
        found.append("AMD GPUs (only NVIDIA's are read)")
    return tuple(found)


def node_name() -> str:
    """What this machine calls itself."""
    return socket.gethostname() or "localhost"


def build_node(name: str, seen: tuple[Seen, ...], host_gib: float, host_free_gib: float) -> Node:
    """The machine with these GPUs. Where one has no memory of its own, the host's is shared out."""
    device_gib = 0.0
    if any(one.gpu is None for one in seen):
        device_gib, host_gib = share_unified(host_gib)
    return Node(
        name=name,
        gpus=tuple(one.gpu or _unified(one, device_gib, host_free_gib - host_gib) for one in seen),
        host_memory_gib=host_gib,
        host_free_gib=min(host_free_gib, host_gib),
    )


def _unified(seen: Seen, total_gib: float, free_gib: float) -> Gpu:
    return Gpu(
        product=seen.product,
        memory_gib=total_gib,
        free_gib=max(free_gib, 0.0),
        compute_capability=seen.compute_capability,
    )
