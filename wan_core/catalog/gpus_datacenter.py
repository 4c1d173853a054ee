"""NVIDIA's GPUs for data centres, as their datasheets have them: dense, halved where sparsity is stated.

Of boards with several GPUs, an entry is one of them: that is what the driver shows.
"""

from __future__ import annotations

from wan_core.catalog.gpu_card import Capability, GpuCard, Peaks, peaks

# Architecture and compute capability.
Chip = tuple[str, Capability]
PASCAL: Chip = ("Pascal", (6, 0))
VOLTA: Chip = ("Volta", (7, 0))
AMPERE: Chip = ("Ampere", (8, 0))
AMPERE_86: Chip = ("Ampere", (8, 6))
ADA: Chip = ("Ada", (8, 9))
HOPPER: Chip = ("Hopper", (9, 0))
BLACKWELL: Chip = ("Blackwell", (10, 0))
BLACKWELL_ULTRA: Chip = ("Blackwell", (10, 3))

# Peaks of chips that several products have.
V100 = peaks(fp32=15.7, fp16=125.0)
V100_PCIE = peaks(fp32=14.0, fp16=112.0)
A100 = peaks(fp32=19.5, tf32=156.0, bf16=312.0, fp16=312.0)
H100 = peaks(fp32=67.0, tf32=494.5, bf16=989.5, fp16=989.5, fp8=1979.0)
H100_NVL = peaks(fp32=60.0, tf32=417.5, bf16=835.5, fp16=835.5, fp8=1670.5)
H20 = peaks(fp32=44.0, tf32=74.0, bf16=148.0, fp16=148.0, fp8=296.0)


def _card(
    name: str, pattern: str, memory_mib: int, tflops: Peaks, bandwidth_gbps: float, chip: Chip, source: str
) -> GpuCard:
    return GpuCard(name, pattern, memory_mib, tflops, bandwidth_gbps, *chip, f"{source} driver cc")


OLDER: tuple[GpuCard, ...] = (
    _card("P100 SXM 16GB", r"P100-(SXM2-)?16GB", 16384, peaks(fp32=10.6), 732, PASCAL, "p100"),
    _card("P100 PCIe 16GB", r"P100-PCIe-16GB", 16384, peaks(fp32=9.3), 732, PASCAL, "p100"),
    _card("P40", r"P40", 23040, peaks(fp32=12.0), 346, ("Pascal", (6, 1)), "p40"),
    _card("V100 SXM 16GB", r"V100-(SXM2-)?16GB", 16384, V100, 900, VOLTA, "v100"),
    _card("V100 SXM 32GB", r"V100-(SXM[23]-)?32GB(-LS)?", 32768, V100, 900, VOLTA, "v100"),
    _card("V100 PCIe 16GB", r"V100-PCIe-16GB", 16384, V100_PCIE, 900, VOLTA, "v100"),
    _card("V100 PCIe 32GB", r"V100-PCIe-32GB", 32768, V100_PCIE, 900, VOLTA, "v100"),
    _card("V100S", r"V100S(-PCIe-32GB)?", 32768, peaks(fp32=16.4, fp16=130.0), 1134, VOLTA, "v100"),
    _card("T4", r"T4", 15360, peaks(fp32=8.1, fp16=65.0), 320, ("Turing", (7, 5)), "t4"),
)
AMPERES: tuple[GpuCard, ...] = (
    _card("A100 SXM 40GB", r"A100-(SXM4?-)?40GB", 40960, A100, 1555, AMPERE, "a100"),
    _card("A100 PCIe 40GB", r"A100-PCIe-40GB", 40960, A100, 1555, AMPERE, "a100"),
    _card("A100 SXM 80GB", r"A100-(SXM4?-)?80GB", 81920, A100, 2039, AMPERE, "a100"),
    _card("A100 PCIe 80GB", r"A100-(80GB-PCIe|PCIe-80GB)", 81920, A100, 1935, AMPERE, "a100"),
    _card("A30", r"A30", 24576, peaks(fp32=10.3, tf32=82.0, bf16=165.0, fp16=165.0), 933, AMPERE, "a30"),
    _card("A40", r"A40", 46068, peaks(fp32=37.4, tf32=74.8, bf16=149.7, fp16=149.7), 696, AMPERE_86, "a40"),
    _card("A10", r"A10", 23028, peaks(fp32=31.2, tf32=62.5, bf16=125.0, fp16=125.0), 600, AMPERE_86, "a10"),
    _card("A10G", r"A10G", 23028, peaks(fp32=31.5, tf32=35.0, bf16=70.0, fp16=70.0), 600, AMPERE_86, "a10g"),
    _card("A16", r"A16", 15356, peaks(fp32=4.5, tf32=9.0, bf16=17.9, fp16=17.9), 200, AMPERE_86, "a16"),
    _card("A2", r"A2", 15356, peaks(fp32=4.5, tf32=9.0, bf16=18.0, fp16=18.0), 200, AMPERE_86, "a2"),
)
ADAS: tuple[GpuCard, ...] = (
    _card("L4", r"L4", 23034, peaks(fp32=30.3, tf32=60.0, bf16=121.0, fp16=121.0, fp8=242.5), 300, ADA, "l4"),
    _card(
        "L40",
        r"L40",
        46068,
        peaks(fp32=90.5, tf32=90.5, bf16=181.05, fp16=181.05, fp8=362.0),
        864,
        ADA,
        "l40",
    ),
    _card(
        "L40S",
        r"L40S",
        46068,
        peaks(fp32=91.6, tf32=183.0, bf16=362.05, fp16=362.05, fp8=733.0),
        864,
        ADA,
        "l40s",
    ),
)
HOPPERS: tuple[GpuCard, ...] = (
    _card("H100 SXM", r"H100(-SXM5?)?(-80GB(-HBM3)?)?", 81559, H100, 3350, HOPPER, "h100"),
    _card(
        "H100 PCIe",
        r"H100-PCIe|H100-(PCIe-80GB|80GB-PCIe)",
        81559,
        peaks(fp32=51.0, tf32=378.0, bf16=756.0, fp16=756.0, fp8=1513.0),
        2000,
        HOPPER,
        "h100",
    ),
    _card("H100 NVL", r"H100-NVL", 95830, H100_NVL, 3900, HOPPER, "h100"),
    _card("H200", r"H200(-SXM5?)?(-141GB)?", 143771, H100, 4800, HOPPER, "h200"),
    _card("H200 NVL", r"H200-NVL", 143771, H100_NVL, 4800, HOPPER, "h200"),
    _card("H20 96GB", r"H20", 97871, H20, 4000, HOPPER, "h20"),
    _card("H20 141GB", r"H20-3e", 143771, H20, 4800, HOPPER, "h20"),
    _card("GH200 96GB", r"GH200(-(480GB|120GB|96GB))?", 97871, H100, 4000, HOPPER, "gh200"),
    GpuCard("GH200 144GB", r"GH200-144G(B)?(-HBM3e)?", 145920, H100, 4900, *HOPPER, "gh200 cuda cc"),
)
BLACKWELLS: tuple[GpuCard, ...] = (
    _card(
        "B200",
        r"B200(-SXM6)?(-180GB)?",
        183359,
        peaks(fp32=75.0, tf32=1125.0, bf16=2250.0, fp16=2250.0, fp8=4500.0, fp4=9000.0),
        8000,
        BLACKWELL,
        "b200",
    ),
    _card(
        "GB200",
        r"GB200",
        189471,
        peaks(fp32=80.0, tf32=1250.0, bf16=2500.0, fp16=2500.0, fp8=5000.0, fp4=10000.0),
        8000,
        BLACKWELL,
        "gb200",
    ),
    _card(
        "B300",
        r"B300(-SXM6)?(-AC)?",
        275040,
        peaks(fp32=75.0, tf32=1125.0, bf16=2250.0, fp16=2250.0, fp8=4500.0, fp4=13125.0),
        8000,
        BLACKWELL_ULTRA,
        "b300",
    ),
    _card(
        "GB300",
        r"GB300",
        284208,
        peaks(fp32=80.0, tf32=1250.0, bf16=2500.0, fp16=2500.0, fp8=5000.0, fp4=15000.0),
        8000,
        BLACKWELL_ULTRA,
        "gb300",
    ),
)
DATACENTER: tuple[GpuCard, ...] = (*BLACKWELLS, *HOPPERS, *ADAS, *AMPERES, *OLDER)
