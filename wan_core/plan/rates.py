"""How fast bytes travel outside a GPU, and a CPU computes. What the administrator knows better is set.

A field that is None stands for the range of what is assumed or was measured elsewhere, and its source.
"""

from __future__ import annotations

from pydantic import Field

from wan_core.api.model import Document
from wan_core.plan.span import Span, point

GIGA = 1e9

# Over TLS and HTTP on loopback, our client and the server on the same 2 cores: 592 and 1396 MB/s
# (docs/benchmarks.md, Fetching). Networks and S3 itself: not measured.
OBJECT_STORE_GB_PER_S = Span(0.592, 1.396)
# One volume of a cloud to one NVMe disk: gp3's limit 1 GiB/s, 7 GB/s (public figures; not measured here).
DISK_GB_PER_S = Span(1.07, 7.0)
# Host to device: pageable memory over PCIe 4 x16 to pinned memory over PCIe 5 x16. Assumed, not measured.
BUS_GB_PER_S = Span(12.0, 50.0)
# Page cache into fresh host memory, on a machine whose fresh memory is slow, to a ring that is resident:
# 2.59 and 13.13 GB/s (docs/benchmarks.md, Loading).
HOST_GB_PER_S = Span(2.59, 13.13)
# Memory made so that a GPU reads it by itself: at worst 618 ms for 512 MiB, taken and given back (a thread of
# another loader: imp#1653), at best as page cache is read. Not measured here.
PIN_GB_PER_S = Span(0.87, 13.13)
# float32 by torch 2.15.0 on 2 cores of an AMD EPYC: 7.30 s a step of 1.10 TFLOP (docs/benchmarks.md, The
# transformer on a CPU). More cores: as if each added as much.
HOST_TFLOPS_PER_CORE = 0.075
# A runner requests 2 CPUs and has no limit; 16 are assumed to be the most it gets.
HOST_CORES = Span(2, 16)


class Rates(Document):
    """What can be set. `host_cores`: how many CPU cores a runner has to itself."""

    object_store_mb_per_second: float | None = Field(None, gt=0)
    disk_mb_per_second: float | None = Field(None, gt=0)
    bus_gb_per_second: float | None = Field(None, gt=0)
    host_cores: float | None = Field(None, gt=0)

    @property
    def object_store(self) -> Span:
        """Bytes a second from the object store to the node."""
        return _chosen(self.object_store_mb_per_second, 1e6, OBJECT_STORE_GB_PER_S)

    @property
    def disk(self) -> Span:
        """Bytes a second from the node's disk."""
        return _chosen(self.disk_mb_per_second, 1e6, DISK_GB_PER_S)

    @property
    def bus(self) -> Span:
        """Bytes a second from host memory to the device."""
        return _chosen(self.bus_gb_per_second, GIGA, BUS_GB_PER_S)

    @property
    def host(self) -> Span:
        """Bytes a second into host memory, from the page cache."""
        return HOST_GB_PER_S.scale(GIGA)

    @property
    def pinning(self) -> Span:
        """Bytes a second of host memory that are pinned."""
        return PIN_GB_PER_S.scale(GIGA)

    @property
    def host_flops(self) -> Span:
        """Operations a second of the runner's cores in float32, at sizes of billions of weights."""
        cores = HOST_CORES if self.host_cores is None else point(self.host_cores)
        return cores.scale(HOST_TFLOPS_PER_CORE * 1e12)


DEFAULT_RATES = Rates()


def seconds_for(amount: float, rate: Span) -> Span:
    """How long `amount` takes: the faster rate is the low end."""
    return Span(amount / rate.high, amount / rate.low)


def _chosen(given: float | None, unit: float, assumed_gb: Span) -> Span:
    return assumed_gb.scale(GIGA) if given is None else point(given * unit)
