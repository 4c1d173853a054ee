"""Where the figures of the GPUs come from: a word of `GpuCard.source` -> the publication."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

MEMORY: Mapping[str, str] = MappingProxyType(
    {
        "driver": "total memory as nvidia-smi reports it for the card, ECC as shipped",
        "rocm": "total memory as rocm-smi reports it: what the board has less 16 MiB",
        "box": "memory of the board; what the driver reports of it is not known here",
        "cuda": "total memory as CUDA reports it: less than the driver's, by what it keeps for itself",
    }
)
CAPABILITY: Mapping[str, str] = MappingProxyType({"cc": "developer.nvidia.com/cuda-gpus"})

# Peaks and bandwidth.
SHEETS: Mapping[str, str] = MappingProxyType(
    {
        "b200": "NVIDIA HGX B200 datasheet (2025), an eighth of the board's dense figures",
        "b300": "NVIDIA HGX B300 datasheet (2025), an eighth of the board's dense figures",
        "gb200": "NVIDIA GB200 NVL72 datasheet (2024), a 72nd of the rack's dense figures",
        "gb300": "NVIDIA GB300 NVL72 datasheet (2025), a 72nd of the rack's dense figures",
        "gb10": "NVIDIA DGX Spark specifications (2025): sparse FP4, bandwidth",
        "h200": "NVIDIA H200 datasheet (2024): SXM and NVL; halved where it states sparsity",
        "h100": "NVIDIA H100 datasheet (2024): SXM and NVL; PCIe: H100 PCIe product brief (2022)",
        "h20": "NVIDIA H20 datasheet (2023), as resellers publish it",
        "gh200": "NVIDIA GH200 Grace Hopper Superchip datasheet (2023); halved where it states sparsity",
        "a100": "NVIDIA A100 80GB and A100 40GB datasheets (2021, 2020)",
        "a40": "NVIDIA A40 datasheet (2021)",
        "a30": "NVIDIA A30 datasheet (2021)",
        "a16": "NVIDIA A16 datasheet (2021), a quarter of the board",
        "a10": "NVIDIA A10 datasheet (2021)",
        "a10g": "Baseten, NVIDIA A10 vs A10G (2023), after AWS's G5 figures; TF32 half of bf16",
        "a2": "NVIDIA A2 datasheet (2021)",
        "l40s": "NVIDIA L40S datasheet (2023); halved where it states sparsity",
        "l40": "NVIDIA L40 datasheet (2022); halved where it states sparsity",
        "l4": "NVIDIA L4 datasheet (2023); halved where it states sparsity",
        "v100": "NVIDIA V100 datasheet (2020): SXM2, PCIe, V100S",
        "t4": "NVIDIA T4 datasheet (2019)",
        "p100": "NVIDIA P100 datasheet (2016): SXM2 and PCIe",
        "p40": "NVIDIA P40 datasheet (2017)",
        "geforce": "NVIDIA's product pages of GeForce boards: cores, boost clock, bandwidth; peaks derived",
        "quadro": "NVIDIA Quadro RTX datasheets (2018): cores, clock, bandwidth; peaks derived",
        "rtx-a": "NVIDIA RTX A4000, A4500, A5000, A6000 datasheets (2021): cores, clock, bandwidth",
        "rtx-ada": "NVIDIA RTX Ada Generation datasheets (2023): cores, clock, bandwidth",
        "rtx-pro": "NVIDIA RTX PRO Blackwell datasheets (2025): cores, fp32 peak or AI TOPS; bandwidth",
        "mi200": "AMD Instinct MI210 and MI250X datasheets (2021, 2022), one die",
        "mi300x": "AMD Instinct MI300X datasheet (2023)",
        "mi325x": "AMD Instinct MI325X datasheet (2024)",
        "mi355x": "AMD Instinct MI355X datasheet (2025)",
        "arc": "Intel's product pages of Arc A770 and B580: INT8 TOPS, of which bf16 and fp16 are half; "
        "fp32 derived from lanes and clock",
        "max1550": "Intel Data Center GPU Max 1550 product brief (2023), half of the board",
    }
)
# How peaks follow from the fp32 peak.
RATIOS: Mapping[str, str] = MappingProxyType(
    {
        "turing": "NVIDIA Turing GPU architecture whitepaper (2018), appendix A: peaks per fp32 peak",
        "ga102": "NVIDIA Ampere GA102 whitepaper v2, appendix A: peaks per fp32 peak",
        "ada": "NVIDIA Ada GPU architecture whitepaper v2.1, appendices A and B: peaks per fp32 peak",
        "blackwell": "NVIDIA RTX Blackwell and RTX PRO Blackwell architecture whitepapers (2025)",
        "mig": "NVIDIA Multi-Instance GPU user guide: fractions of SMs and memory by profile",
    }
)
SOURCES: Mapping[str, str] = MappingProxyType({**MEMORY, **CAPABILITY, **SHEETS, **RATIOS})
