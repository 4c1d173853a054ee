"""NVIDIA's GPUs for data centres, as their datasheets have them: dense, halved where sparsity is stated."""

from __future__ import annotations

from types import MappingProxyType

from wan_core.catalog.gpu_card import GpuCard, Peaks

# Chips that come in several forms. Peaks in TFLOP/s.
V100: Peaks = MappingProxyType({"fp32": 15.7, "fp16": 125.0})
A100: Peaks = MappingProxyType({"fp32": 19.5, "tf32": 156.0, "bf16": 312.0, "fp16": 312.0})
H100: Peaks = MappingProxyType({"fp32": 67.0, "tf32": 494.5, "bf16": 989.5, "fp16": 989.5, "fp8": 1979.0})
H100_NVL: Peaks = MappingProxyType({"fp32": 60.0, "tf32": 417.5, "bf16": 835.5, "fp16": 835.5, "fp8": 1670.5})
B200: Peaks = MappingProxyType(
    {"fp32": 75.0, "tf32": 1125.0, "bf16": 2250.0, "fp16": 2250.0, "fp8": 4500.0, "fp4": 9000.0}
)

DATACENTER: tuple[GpuCard, ...] = (
    GpuCard("V100 16GB", r"V100-(SXM2|PCIe)-16GB", 16384, V100, 900, "Volta", (7, 0), "v100 driver cc"),
    GpuCard("V100 32GB", r"V100S?-(SXM[23]|PCIe)-32GB", 32768, V100, 900, "Volta", (7, 0), "v100 driver cc"),
    GpuCard(
        "T4",
        r"T4",
        15360,
        MappingProxyType({"fp32": 8.1, "fp16": 65.0}),
        320,
        "Turing",
        (7, 5),
        "t4 driver cc",
    ),
    GpuCard("A100 40GB", r"A100-((SXM4?|PCIe)-)?40GB", 40960, A100, 1555, "Ampere", (8, 0), "a100 driver cc"),
    GpuCard("A100 SXM 80GB", r"A100-SXM4?-80GB", 81920, A100, 2039, "Ampere", (8, 0), "a100 driver cc"),
    GpuCard(
        "A100 PCIe 80GB", r"A100-(80GB-PCIe|PCIe-80GB)", 81920, A100, 1935, "Ampere", (8, 0), "a100 driver cc"
    ),
    GpuCard(
        "A10",
        r"A10",
        23028,
        MappingProxyType({"fp32": 31.2, "tf32": 62.5, "bf16": 125.0, "fp16": 125.0}),
        600,
        "Ampere",
        (8, 6),
        "a10 driver cc",
    ),
    GpuCard(
        "A10G",
        r"A10G",
        23028,
        MappingProxyType({"fp32": 31.5, "tf32": 35.0, "bf16": 70.0, "fp16": 70.0}),
        600,
        "Ampere",
        (8, 6),
        "a10g driver cc",
    ),
    GpuCard(
        "L4",
        r"L4",
        23034,
        MappingProxyType({"fp32": 30.3, "tf32": 60.0, "bf16": 121.0, "fp16": 121.0, "fp8": 242.5}),
        300,
        "Ada",
        (8, 9),
        "l4 driver cc",
    ),
    GpuCard(
        "L40S",
        r"L40S",
        46068,
        MappingProxyType({"fp32": 91.6, "tf32": 183.0, "bf16": 362.05, "fp16": 362.05, "fp8": 733.0}),
        864,
        "Ada",
        (8, 9),
        "l40s driver cc",
    ),
    GpuCard(
        "H100 PCIe",
        r"H100-PCIe",
        81559,
        MappingProxyType({"fp32": 51.0, "tf32": 378.0, "bf16": 756.0, "fp16": 756.0, "fp8": 1513.0}),
        2000,
        "Hopper",
        (9, 0),
        "h100 driver cc",
    ),
    GpuCard(
        "H100 SXM", r"H100(-SXM5?)?(-80GB(-HBM3)?)?", 81559, H100, 3350, "Hopper", (9, 0), "h100 driver cc"
    ),
    GpuCard("H100 NVL", r"H100-NVL", 95830, H100_NVL, 3900, "Hopper", (9, 0), "h100 driver cc"),
    GpuCard("H200", r"H200", 143771, H100, 4800, "Hopper", (9, 0), "h200 driver cc"),
    GpuCard("H200 NVL", r"H200-NVL", 143771, H100_NVL, 4800, "Hopper", (9, 0), "h200 driver cc"),
    GpuCard("B200", r"B200", 183359, B200, 8000, "Blackwell", (10, 0), "b200 driver cc"),
)
