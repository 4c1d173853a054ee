"""What there is to run on: nodes and their GPUs, as labels, NVML or a person tell."""

from __future__ import annotations

from pydantic import Field

from wan_core.api.model import Document

UNIFIED_HOST_GIB = 16.0
"""What the host keeps of memory that it shares with its GPU: Python, libraries, files read. Assumed."""


def share_unified(total_gib: float) -> tuple[float, float]:
    """Memory that GPU and host share, as two parts that cannot be promised twice: (device, host) GiB."""
    host = min(UNIFIED_HOST_GIB, total_gib / 2)
    return total_gib - host, host


class Gpu(Document):
    """One GPU. Memory in GiB; `free_gib` is None where it cannot be known (then the card counts as empty)."""

    product: str
    memory_gib: float = Field(gt=0)
    free_gib: float | None = Field(None, ge=0)
    compute_capability: tuple[int, int] | None = None


class Node(Document):
    """One machine. It offers its CPU too to the models that may run there, unless it is `gpu_only`."""

    name: str
    gpus: tuple[Gpu, ...] = ()
    host_memory_gib: float = Field(gt=0)
    host_free_gib: float | None = Field(None, ge=0)
    gpu_only: bool = False


class Inventory(Document):
    """Every node that may take a runner. `left_out` tells in words what is there and may not be used."""

    nodes: tuple[Node, ...] = ()
    left_out: tuple[str, ...] = ()


class Device(Document):
    """The device that a runner finds itself on, with what is really free there, in GiB.

    For `kind` "cpu" the memory figures are the host's.
    """

    kind: str
    product: str
    total_gib: float = Field(gt=0)
    free_gib: float = Field(ge=0)
    host_free_gib: float = Field(ge=0)
    compute_capability: tuple[int, int] | None = None
