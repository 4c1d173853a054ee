"""What is known of one GPU product, and what follows from it: what it cannot do, which profile routes it.

Peaks are dense, of the tensor cores with fp32 accumulation where there are such cores. Memory is what the
driver reports, not what the box says. Clocks under load and power limits are not modelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, cast, get_args

Precision = Literal["tf32", "fp32", "bf16", "fp16", "fp8", "fp4"]
Vendor = Literal["NVIDIA", "AMD", "Intel", "CPU"]
Profile = Literal["Blackwell", "Hopper", "Ada/Ampere", "older", "ROCm", "XPU", "CPU"]
Capability = tuple[int, int]
Peaks = Mapping[Precision, float]

# NVIDIA's tensor cores take a format from this compute capability on (CUDA C++ programming guide, tensor core
# data types by compute capability).
SINCE: Mapping[Precision, Capability] = MappingProxyType(
    {"fp16": (7, 0), "tf32": (8, 0), "bf16": (8, 0), "fp8": (8, 9), "fp4": (10, 0)}
)
# What the matrix units of other vendors' architectures do not take (AMD, instruction set guides of CDNA 2, 3
# and 4; Intel, XMX data types).
LACKING: Mapping[str, tuple[Precision, ...]] = MappingProxyType(
    {
        "CDNA 2": ("tf32", "fp8", "fp4"),
        "CDNA 3": ("fp4",),
        "CDNA 4": ("tf32",),
        "Xe-HPG": ("tf32", "fp8", "fp4"),
        "Xe-HPC": ("fp8", "fp4"),
        "Xe2": ("fp8", "fp4"),
    }
)
# The profile from this compute capability on: the rows of wan_core.devices.CUDA, as far as they differ here.
NVIDIA_PROFILES: Mapping[Capability, Profile] = MappingProxyType(
    {(5, 0): "older", (8, 0): "Ada/Ampere", (9, 0): "Hopper", (10, 0): "Blackwell"}
)
OTHER_PROFILES: Mapping[Vendor, Profile] = MappingProxyType({"AMD": "ROCm", "Intel": "XPU", "CPU": "CPU"})


def profile_of(vendor: Vendor, capability: Capability | None) -> Profile | None:
    """By which rule a device is routed; None for NVIDIA's GPUs that are older than every rule.

    An NVIDIA GPU of unknown capability is taken for the most common kind, Ada/Ampere.
    """
    if vendor != "NVIDIA":
        return OTHER_PROFILES[vendor]
    if capability is None:
        return "Ada/Ampere"
    since = [first for first in NVIDIA_PROFILES if first <= capability]
    return NVIDIA_PROFILES[max(since)] if since else None


@dataclass(frozen=True)
class GpuCard:
    """One product. TFLOP/s by precision, GB/s, MiB.

    A precision without a figure is one that the hardware lacks (then `cannot` names it), or one for which no
    source is known. `pattern` matches product names as `find_gpu` reads them. `source` names entries of
    `wan_core.catalog.gpu_sources.SOURCES`. `unified`: its memory is the host's too.
    """

    name: str
    pattern: str
    memory_mib: int
    tflops: Peaks = field(hash=False)
    bandwidth_gbps: float | None
    architecture: str
    compute_capability: Capability | None
    source: str
    vendor: Vendor = "NVIDIA"
    unified: bool = False

    @property
    def memory_gib(self) -> float:
        return self.memory_mib / 1024

    @property
    def bf16_tflops(self) -> float | None:
        """None where the hardware has no bf16."""
        return self.tflops.get("bf16")

    @property
    def cannot(self) -> tuple[Precision, ...]:
        """What its matrix units do not take."""
        if self.compute_capability is None:
            return LACKING[self.architecture]
        return tuple(p for p, since in SINCE.items() if self.compute_capability < since)

    @property
    def profile(self) -> Profile:
        found = profile_of(self.vendor, self.compute_capability)
        assert found is not None, f"{self.name} is older than every rule"
        return found


# Peaks per fp32 peak, dense: tensor throughput an SM and clock over that of its fp32 cores, from the
# architecture whitepapers' appendices. GeForce cards accumulate in fp32 at half the rate.
PASCAL: Peaks = MappingProxyType({"fp32": 1})
TURING_GEFORCE: Peaks = MappingProxyType({"fp32": 1, "fp16": 4})
TURING: Peaks = MappingProxyType({"fp32": 1, "fp16": 8})
AMPERE_GEFORCE: Peaks = MappingProxyType({"fp32": 1, "tf32": 1, "bf16": 2, "fp16": 2})
AMPERE: Peaks = MappingProxyType({"fp32": 1, "tf32": 2, "bf16": 4, "fp16": 4})
ADA_GEFORCE: Peaks = MappingProxyType({**AMPERE_GEFORCE, "fp8": 4})
ADA: Peaks = MappingProxyType({**AMPERE, "fp8": 8})
BLACKWELL_GEFORCE: Peaks = MappingProxyType({**ADA_GEFORCE, "fp4": 16})
BLACKWELL_PRO: Peaks = MappingProxyType({**ADA, "fp4": 16})


def derive_peaks(cores: int, boost_mhz: float, ratios: Peaks) -> Peaks:
    """TFLOP/s of a GPU by its fp32 cores and boost clock: 2 x cores x clock, times the ratio of a format.

    A test holds it against figures that the whitepapers print.
    """
    return scale_peaks(2 * cores * boost_mhz * 1e6 / 1e12, ratios)


def scale_peaks(fp32: float, ratios: Peaks) -> Peaks:
    """TFLOP/s from the fp32 peak, to a tenth, as datasheets have it."""
    return MappingProxyType({precision: round(fp32 * ratio, 1) for precision, ratio in ratios.items()})


def peaks(**tflops: float) -> Peaks:
    """Peaks as a datasheet prints them, by precision."""
    unknown = set(tflops) - set(get_args(Precision))
    assert not unknown, f"{unknown} are no precisions"
    return MappingProxyType(cast(dict[Precision, float], tflops))
