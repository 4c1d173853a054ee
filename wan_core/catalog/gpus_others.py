"""GPUs of AMD and Intel, as their datasheets have them: dense.

An entry is what the system shows as one device: half of a board of two dies (MI250X) or two stacks (Max 1550,
where ZE_FLAT_DEVICE_HIERARCHY is FLAT, its default). Nothing here was run on any of them.
"""

from __future__ import annotations

from wan_core.catalog.gpu_card import GpuCard, peaks

MI300 = peaks(fp32=163.4, tf32=653.7, bf16=1307.4, fp16=1307.4, fp8=2614.9)
MI200_DIE = peaks(fp32=23.9, bf16=191.5, fp16=191.5)

AMD: tuple[GpuCard, ...] = (
    GpuCard(
        "MI210",
        r"MI210",
        65520,
        peaks(fp32=22.6, bf16=181.0, fp16=181.0),
        1638,
        "CDNA 2",
        None,
        "mi200 rocm",
        vendor="AMD",
    ),
    GpuCard(
        "MI250X", r"MI250X(-?/-?MI250)?", 65520, MI200_DIE, 1638, "CDNA 2", None, "mi200 rocm", vendor="AMD"
    ),
    GpuCard("MI300X", r"MI300X", 196592, MI300, 5300, "CDNA 3", None, "mi300x rocm", vendor="AMD"),
    GpuCard("MI325X", r"MI325X", 262128, MI300, 6000, "CDNA 3", None, "mi325x rocm", vendor="AMD"),
    GpuCard(
        "MI355X",
        r"MI355X",
        294896,
        peaks(fp32=157.3, bf16=2516.6, fp16=2516.6, fp8=5033.2, fp4=10066.3),
        8000,
        "CDNA 4",
        None,
        "mi355x rocm",
        vendor="AMD",
    ),
)
INTEL: tuple[GpuCard, ...] = (
    GpuCard(
        "Arc A770",
        r"Arc-A770(-16GB)?",
        16384,
        peaks(fp32=17.2, bf16=131.0, fp16=131.0),
        560,
        "Xe-HPG",
        None,
        "arc box",
        vendor="Intel",
    ),
    GpuCard(
        "Arc B580",
        r"Arc-B580",
        12288,
        peaks(fp32=13.7, bf16=116.5, fp16=116.5),
        456,
        "Xe2",
        None,
        "arc box",
        vendor="Intel",
    ),
    GpuCard(
        "Max 1550",
        r"(Data-Center-)?Max-1550",
        65536,
        peaks(fp32=26.2, tf32=209.5, bf16=419.5, fp16=419.5),
        1638,
        "Xe-HPC",
        None,
        "max1550 box",
        vendor="Intel",
    ),
)
OTHERS: tuple[GpuCard, ...] = (*AMD, *INTEL)
