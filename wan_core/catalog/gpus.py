"""The GPUs, as data: what a product name says about memory and compute.

Names are those of the label `nvidia.com/gpu.product` (GPU Feature Discovery): NVML's with dashes for spaces.
Memory is what the driver reports, not what the box says. Peaks are dense (no sparsity), bf16 with fp32
accumulation. Clocks under load and power limits are not modelled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "h200": "NVIDIA H200 datasheet (2024): SXM and NVL; halved where it states sparsity",
        "h100": "NVIDIA H100 datasheet (2024): SXM and NVL; PCIe: H100 PCIe product brief (2022)",
        "b200": "NVIDIA HGX B200 datasheet (2025), an eighth of the board's dense figures",
        "a100": "NVIDIA A100 80GB and A100 40GB datasheets (2021, 2020)",
        "v100": "NVIDIA V100 datasheet (2020); Volta has no bf16",
        "l40s": "NVIDIA L40S datasheet (2023); halved where it states sparsity",
        "l4": "NVIDIA L4 datasheet (2023); halved where it states sparsity",
        "a10": "NVIDIA A10 datasheet (2021)",
        "a10g": "Baseten, NVIDIA A10 vs A10G (2023), after AWS's G5 figures",
        "t4": "NVIDIA T4 datasheet (2019); Turing has no bf16",
        "ga102": "NVIDIA Ampere GA102 whitepaper v2, appendix A",
        "ada": "NVIDIA Ada GPU architecture whitepaper v2.1, appendices A and B",
        "blackwell": "NVIDIA RTX Blackwell and RTX PRO Blackwell architecture whitepapers (2025)",
        "driver": "total memory as nvidia-smi reports it for the card, ECC as shipped",
        "cc": "developer.nvidia.com/cuda-gpus",
    }
)


@dataclass(frozen=True)
class GpuCard:
    """One product. `bf16_tflops` is None where the hardware has no bf16."""

    name: str
    pattern: str
    memory_mib: int
    bf16_tflops: float | None
    compute_capability: tuple[int, int]
    source: str

    @property
    def memory_gib(self) -> float:
        return self.memory_mib / 1024


# More specific patterns stand before the general ones of their family.
GPUS: tuple[GpuCard, ...] = (
    GpuCard("B200", r"B200", 183359, 2250.0, (10, 0), "b200 driver cc"),
    GpuCard("H200 NVL", r"H200-NVL", 143771, 835.5, (9, 0), "h200 driver cc"),
    GpuCard("H200", r"H200", 143771, 989.5, (9, 0), "h200 driver cc"),
    GpuCard("H100 NVL", r"H100-NVL", 95830, 835.5, (9, 0), "h100 driver cc"),
    GpuCard("H100 PCIe", r"H100-PCIe", 81559, 756.0, (9, 0), "h100 driver cc"),
    GpuCard("H100 SXM", r"H100(-SXM5)?-80GB(-HBM3)?", 81559, 989.5, (9, 0), "h100 driver cc"),
    GpuCard("A100 SXM 80GB", r"A100-SXM4?-80GB", 81920, 312.0, (8, 0), "a100 driver cc"),
    GpuCard("A100 PCIe 80GB", r"A100-(80GB-PCIe|PCIe-80GB)", 81920, 312.0, (8, 0), "a100 driver cc"),
    GpuCard("A100 40GB", r"A100-(SXM4?|PCIe)-40GB", 40960, 312.0, (8, 0), "a100 driver cc"),
    GpuCard("V100 32GB", r"V100S?-(SXM[23]|PCIe)-32GB", 32768, None, (7, 0), "v100 driver cc"),
    GpuCard("V100 16GB", r"V100-(SXM2|PCIe)-16GB", 16384, None, (7, 0), "v100 driver cc"),
    GpuCard("L40S", r"L40S", 46068, 362.05, (8, 9), "l40s driver cc"),
    GpuCard("L4", r"L4", 23034, 121.0, (8, 9), "l4 driver cc"),
    GpuCard("A10G", r"A10G", 23028, 70.0, (8, 6), "a10g driver cc"),
    GpuCard("A10", r"A10", 23028, 125.0, (8, 6), "a10 driver cc"),
    GpuCard("T4", r"T4", 15360, None, (7, 5), "t4 driver cc"),
    GpuCard("RTX 3090", r"GeForce-RTX-3090", 24576, 71.0, (8, 6), "ga102 driver cc"),
    GpuCard("RTX 4090", r"GeForce-RTX-4090", 24564, 165.2, (8, 9), "ada driver cc"),
    GpuCard("RTX 5090", r"GeForce-RTX-5090", 32607, 209.5, (12, 0), "blackwell driver cc"),
    GpuCard("RTX 6000 Ada", r"RTX-6000-Ada-Generation", 49140, 364.2, (8, 9), "ada driver cc"),
    GpuCard(
        "RTX PRO 6000 Blackwell",
        r"RTX-PRO-6000-Blackwell-Workstation-Edition",
        97887,
        503.8,
        (12, 0),
        "blackwell driver cc",
    ),
    GpuCard(
        "RTX PRO 6000 Blackwell Server",
        r"RTX-PRO-6000-Blackwell-Server-Edition",
        97887,
        503.8,
        (12, 0),
        "blackwell driver cc",
    ),
)

_PREFIX, _SUFFIX = r"^(?:NVIDIA-|Tesla-)*", r"(?:-SHARED)?$"


def find_gpu(product: str) -> GpuCard | None:
    """The card behind a product label or NVML name; None if unknown, or a slice of one (MIG)."""
    name = re.sub(r"\s+", "-", product.strip())
    matches = (card for card in GPUS if re.match(_PREFIX + card.pattern + _SUFFIX, name, re.IGNORECASE))
    return next(matches, None)
