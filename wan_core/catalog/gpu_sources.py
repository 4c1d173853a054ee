"""Where the figures of the GPUs come from: name -> which figures, and the publication."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

Figure = Literal["memory", "tflops", "bandwidth", "capability"]
SHEET: tuple[Figure, ...] = ("tflops", "bandwidth")

FIGURES: Mapping[str, tuple[Figure, ...]] = MappingProxyType({"driver": ("memory",), "cc": ("capability",)})
"""What a source is for, where that is not peaks and bandwidth."""

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
        "geforce": "NVIDIA's product pages of GeForce boards: cores, boost clock, bandwidth; peaks derived",
        "turing": "NVIDIA Turing GPU architecture whitepaper (2018), appendix A: peaks per fp32 peak",
        "ga102": "NVIDIA Ampere GA102 whitepaper v2, appendix A: peaks per fp32 peak",
        "ada": "NVIDIA Ada GPU architecture whitepaper v2.1, appendices A and B: peaks per fp32 peak",
        "blackwell": "NVIDIA RTX Blackwell and RTX PRO Blackwell architecture whitepapers (2025)",
        "rtx-a": "NVIDIA RTX A4000, A4500, A5000, A6000 datasheets (2021): cores, clock, bandwidth",
        "rtx-ada": "NVIDIA RTX Ada Generation datasheets (2023): cores, clock, bandwidth",
        "driver": "total memory as nvidia-smi reports it for the card, ECC as shipped",
        "cc": "developer.nvidia.com/cuda-gpus",
    }
)
