"""NVIDIA's GPUs for desktops and laptops. Peaks are derived from cores and boost clock (`derive_peaks`).

Some boards share the driver's name and differ in memory (RTX 3060, 3080, 4060 Ti, 5060 Ti): the plain name
means the one whose pattern lets the size be left out. A laptop's clock depends on the power that its maker
allows: figures are of the highest that NVIDIA lists, an upper bound.
"""

from __future__ import annotations

from wan_core.catalog.gpu_card import (
    ADA_GEFORCE,
    AMPERE_GEFORCE,
    BLACKWELL_GEFORCE,
    PASCAL,
    TURING,
    TURING_GEFORCE,
    Capability,
    GpuCard,
    Peaks,
    derive_peaks,
)

# Architecture, compute capability, ratios of peaks, sources.
Line = tuple[str, Capability, Peaks, str]
GTX_10: Line = ("Pascal", (6, 1), PASCAL, "geforce driver cc")
RTX_20: Line = ("Turing", (7, 5), TURING_GEFORCE, "geforce turing driver cc")
TITAN: Line = ("Turing", (7, 5), TURING, "geforce turing driver cc")
RTX_30: Line = ("Ampere", (8, 6), AMPERE_GEFORCE, "geforce ga102 driver cc")
RTX_40: Line = ("Ada", (8, 9), ADA_GEFORCE, "geforce ada driver cc")
RTX_50: Line = ("Blackwell", (12, 0), BLACKWELL_GEFORCE, "geforce blackwell driver cc")


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


DESKTOP: tuple[GpuCard, ...] = (
    _board(GTX_10, "GTX 1080 Ti", 11264, 3584, 1582, 484),
    _board(RTX_20, "RTX 2060", 6144, 1920, 1680, 336),
    _board(RTX_20, "RTX 2060 SUPER", 8192, 2176, 1650, 448),
    _board(RTX_20, "RTX 2070", 8192, 2304, 1620, 448),
    _board(RTX_20, "RTX 2070 SUPER", 8192, 2560, 1770, 448),
    _board(RTX_20, "RTX 2080", 8192, 2944, 1710, 448),
    _board(RTX_20, "RTX 2080 SUPER", 8192, 3072, 1815, 496),
    _board(RTX_20, "RTX 2080 Ti", 11264, 4352, 1545, 616),
    _board(TITAN, "TITAN RTX", 24576, 4608, 1770, 672),
    _board(RTX_30, "RTX 3050", 8192, 2560, 1777, 224),
    _board(RTX_30, "RTX 3060 12GB", 12288, 3584, 1777, 360, r"RTX-3060(-12GB)?"),
    _board(RTX_30, "RTX 3060 8GB", 8192, 3584, 1777, 240),
    _board(RTX_30, "RTX 3060 Ti", 8192, 4864, 1665, 448),
    _board(RTX_30, "RTX 3070", 8192, 5888, 1725, 448),
    _board(RTX_30, "RTX 3070 Ti", 8192, 6144, 1770, 608),
    _board(RTX_30, "RTX 3080 10GB", 10240, 8704, 1710, 760, r"RTX-3080(-10GB)?"),
    _board(RTX_30, "RTX 3080 12GB", 12288, 8960, 1710, 912),
    _board(RTX_30, "RTX 3080 Ti", 12288, 10240, 1665, 912),
    _board(RTX_30, "RTX 3090", 24576, 10496, 1695, 936),
    _board(RTX_30, "RTX 3090 Ti", 24564, 10752, 1860, 1008),
    _board(RTX_40, "RTX 4060", 8188, 3072, 2460, 272),
    _board(RTX_40, "RTX 4060 Ti 8GB", 8188, 4352, 2535, 288, r"RTX-4060-Ti(-8GB)?"),
    _board(RTX_40, "RTX 4060 Ti 16GB", 16380, 4352, 2535, 288),
    _board(RTX_40, "RTX 4070", 12282, 5888, 2475, 504),
    _board(RTX_40, "RTX 4070 SUPER", 12282, 7168, 2475, 504),
    _board(RTX_40, "RTX 4070 Ti", 12282, 7680, 2610, 504),
    _board(RTX_40, "RTX 4070 Ti SUPER", 16376, 8448, 2610, 672),
    _board(RTX_40, "RTX 4080", 16376, 9728, 2505, 716.8),
    _board(RTX_40, "RTX 4080 SUPER", 16376, 10240, 2550, 736),
    _board(RTX_40, "RTX 4090", 24564, 16384, 2520, 1008),
    _board(RTX_40, "RTX 4090 D", 24564, 14592, 2520, 1008),
    _board(RTX_50, "RTX 5060", 8151, 3840, 2497, 448),
    _board(RTX_50, "RTX 5060 Ti 8GB", 8151, 4608, 2572, 448, r"RTX-5060-Ti(-8GB)?"),
    _board(RTX_50, "RTX 5060 Ti 16GB", 16311, 4608, 2572, 448),
    _board(RTX_50, "RTX 5070", 12227, 6144, 2512, 672),
    _board(RTX_50, "RTX 5070 Ti", 16303, 8960, 2452, 896),
    _board(RTX_50, "RTX 5080", 16303, 10752, 2617, 960),
    _board(RTX_50, "RTX 5090", 32607, 21760, 2407, 1792),
)
LAPTOP: tuple[GpuCard, ...] = (
    _board(RTX_30, "RTX 3060 Laptop", 6144, 3840, 1703, 336),
    _board(RTX_30, "RTX 3070 Laptop", 8192, 5120, 1620, 448),
    _board(RTX_30, "RTX 3080 Laptop 8GB", 8192, 6144, 1710, 448, r"RTX-3080-Laptop(-8GB)?"),
    _board(RTX_30, "RTX 3080 Laptop 16GB", 16384, 6144, 1710, 448),
    _board(RTX_40, "RTX 4060 Laptop", 8188, 3072, 2370, 256),
    _board(RTX_40, "RTX 4070 Laptop", 8188, 4608, 2175, 256),
    _board(RTX_40, "RTX 4080 Laptop", 12282, 7424, 2280, 432),
    _board(RTX_40, "RTX 4090 Laptop", 16376, 9728, 2040, 576),
    _board(RTX_50, "RTX 5060 Laptop", 8151, 3328, 2497, 384),
    _board(RTX_50, "RTX 5070 Laptop", 8151, 4608, 2347, 384),
    _board(RTX_50, "RTX 5070 Ti Laptop", 12227, 5888, 2220, 672),
    _board(RTX_50, "RTX 5080 Laptop", 16303, 7680, 2287, 896),
    _board(RTX_50, "RTX 5090 Laptop", 24463, 10496, 2160, 896),
)
