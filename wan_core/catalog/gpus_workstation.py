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
    peaks,
    scale_peaks,
)

# Architecture, compute capability, sources.
Line = tuple[str, Capability, str]
QUADRO: Line = ("Turing", (7, 5), "quadro turing driver cc")
RTX_A: Line = ("Ampere", (8, 6), "rtx-a ga102 driver cc")
RTX_ADA: Line = ("Ada", (8, 9), "rtx-ada ada driver cc")
RTX_PRO: Line = ("Blackwell", (12, 0), "rtx-pro blackwell driver cc")

GB10_MIB = 119 * 1024
"""The memory of a DGX Spark as CUDA reports it, rounded down to GiB; the host lives in it too."""


def _board(
    line: Line, name: str, memory_mib: int, tflops: Peaks, bandwidth_gbps: float, pattern: str = ""
) -> GpuCard:
    architecture, capability, source = line
    return GpuCard(
        name=name,
        pattern=pattern or name.replace(" ", "-"),
        memory_mib=memory_mib,
        tflops=tflops,
        bandwidth_gbps=bandwidth_gbps,
        architecture=architecture,
        compute_capability=capability,
        source=source,
    )


PRO_6000 = 97887  # MiB
WORKSTATION: tuple[GpuCard, ...] = (
    _board(QUADRO, "Quadro RTX 5000", 16384, derive_peaks(3072, 1815, TURING), 448),
    _board(QUADRO, "Quadro RTX 6000", 24576, derive_peaks(4608, 1770, TURING), 672),
    _board(QUADRO, "Quadro RTX 8000", 49152, derive_peaks(4608, 1770, TURING), 672),
    _board(RTX_A, "RTX A4000", 16376, derive_peaks(6144, 1560, AMPERE), 448, r"(RTX-)?A4000"),
    _board(RTX_A, "RTX A4500", 20470, derive_peaks(7168, 1650, AMPERE), 640, r"(RTX-)?A4500"),
    _board(RTX_A, "RTX A5000", 24564, derive_peaks(8192, 1695, AMPERE), 768, r"(RTX-)?A5000"),
    _board(RTX_A, "RTX A6000", 49140, derive_peaks(10752, 1800, AMPERE), 768, r"(RTX-)?A6000"),
    # Its tensor cores are printed at less than what cores and clock give.
    _board(RTX_ADA, "RTX 4000 Ada", 20475, peaks(fp32=26.7, tf32=40.9, bf16=81.9, fp16=81.9, fp8=163.8), 360),
    _board(RTX_ADA, "RTX 4500 Ada", 24570, derive_peaks(7680, 2580, ADA), 432),
    _board(RTX_ADA, "RTX 5000 Ada", 32760, derive_peaks(12800, 2550, ADA), 576),
    _board(RTX_ADA, "RTX 6000 Ada", 49140, derive_peaks(18176, 2505, ADA), 960),
    _board(
        RTX_PRO,
        "RTX PRO 6000 Blackwell",
        PRO_6000,
        derive_peaks(24064, 2617, BLACKWELL_PRO),
        1792,
        r"RTX-PRO-6000-Blackwell(-Workstation)?",
    ),
    _board(
        RTX_PRO,
        "RTX PRO 6000 Blackwell Max-Q",
        PRO_6000,
        scale_peaks(110.0, BLACKWELL_PRO),
        1792,
        r"RTX-PRO-6000-Blackwell-Max-Q(-Workstation)?",
    ),
    _board(RTX_PRO, "RTX PRO 6000 Blackwell Server", PRO_6000, scale_peaks(120.0, BLACKWELL_PRO), 1597),
    # By the datasheet's AI TOPS: sparse FP4, which is 32 times the fp32 peak.
    _board(RTX_PRO, "RTX PRO 5000 Blackwell", 48935, scale_peaks(2064 / 32, BLACKWELL_PRO), 1344),
    _board(RTX_PRO, "RTX PRO 4500 Blackwell", 32623, scale_peaks(1687 / 32, BLACKWELL_PRO), 896),
    GpuCard(
        "GB10",
        r"GB10|DGX-Spark",
        GB10_MIB,
        # The only peak that is published: 1 PFLOP/s of sparse FP4.
        peaks(fp4=500.0),
        273,
        "Blackwell",
        (12, 1),
        "gb10 cuda cc",
        unified=True,
    ),
)
