"""NVIDIA's GPUs for workstations: RTX A, RTX Ada Generation, RTX PRO, and the small DGX."""

from __future__ import annotations

from wan_core.catalog.gpu_card import (
    ADA,
    AMPERE,
    BLACKWELL_PRO,
    TURING,
    Capability,
    GpuCard,
    Peaks,
    derive_peaks,
)

# Architecture, compute capability, ratios of peaks, sources.
Line = tuple[str, Capability, Peaks, str]
QUADRO: Line = ("Turing", (7, 5), TURING, "turing driver cc")
RTX_A: Line = ("Ampere", (8, 6), AMPERE, "rtx-a driver cc")
RTX_ADA: Line = ("Ada", (8, 9), ADA, "rtx-ada driver cc")
RTX_PRO: Line = ("Blackwell", (12, 0), BLACKWELL_PRO, "blackwell driver cc")


def _board(
    line: Line,
    name: str,
    memory_mib: int,
    cores: int,
    boost_mhz: int,
    bandwidth_gbps: float,
    pattern: str = "",
) -> GpuCard:
    architecture, capability, ratios, source = line
    return GpuCard(
        name=name,
        pattern=pattern or name.replace(" ", "-"),
        memory_mib=memory_mib,
        tflops=derive_peaks(cores, boost_mhz, ratios),
        bandwidth_gbps=bandwidth_gbps,
        architecture=architecture,
        compute_capability=capability,
        source=source,
    )


WORKSTATION: tuple[GpuCard, ...] = (
    _board(QUADRO, "Quadro RTX 5000", 16384, 3072, 1815, 448),
    _board(QUADRO, "Quadro RTX 6000", 24576, 4608, 1770, 672),
    _board(QUADRO, "Quadro RTX 8000", 49152, 4608, 1770, 672),
    _board(RTX_A, "RTX A4000", 16376, 6144, 1560, 448, r"(RTX-)?A4000"),
    _board(RTX_A, "RTX A4500", 20470, 7168, 1650, 640, r"(RTX-)?A4500"),
    _board(RTX_A, "RTX A5000", 24564, 8192, 1695, 768, r"(RTX-)?A5000"),
    _board(RTX_A, "RTX A6000", 49140, 10752, 1800, 768, r"(RTX-)?A6000"),
    _board(RTX_ADA, "RTX 4500 Ada", 24570, 7680, 2580, 432),
    _board(RTX_ADA, "RTX 5000 Ada", 32760, 12800, 2550, 576),
    _board(RTX_ADA, "RTX 6000 Ada", 49140, 18176, 2505, 960),
    _board(
        RTX_PRO, "RTX PRO 6000 Blackwell", 97887, 24064, 2617, 1792, r"RTX-PRO-6000-Blackwell(-Workstation)?"
    ),
    _board(RTX_PRO, "RTX PRO 6000 Blackwell Server", 97887, 24064, 2617, 1597),
)
