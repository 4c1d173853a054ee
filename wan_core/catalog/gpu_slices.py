"""Slices of a GPU (MIG), from the card and the profile's name: `3g.40gb` is 3 compute slices, 40 GB.

A slice computes with its share of the compute slices and of the memory's bandwidth (NVIDIA MIG user guide,
supported profiles: fraction of SMs, fraction of memory). Not covered: what slices of one card take from each
other in power and clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from wan_core.catalog.gpu_card import GpuCard

# A card's name and the profile of its slice, as labels, drivers and people put them together.
SLICE = re.compile(r"(?P<card>.+?)[\s_-]+(?:mig[\s_-]+)?(?P<profile>(?:\dc\.)?\dg\.\S+)", re.IGNORECASE)
# `1c.3g.40gb` is a compute instance within a slice; `+me`, in labels `.me`, adds media engines.
PROFILE = re.compile(r"(?:(?P<part>\d)c\.)?(?P<compute>\d)g\.(?P<gb>\d+)gb(?:[.+][a-z.+-]+)?", re.IGNORECASE)

COMPUTE_SLICES: Mapping[str, int] = MappingProxyType(
    {"A30": 4, "A100 SXM 40GB": 7, "A100 PCIe 40GB": 7, "A100 SXM 80GB": 7, "A100 PCIe 80GB": 7}
    | {"H100 SXM": 7, "H100 PCIe": 7, "H100 NVL": 7, "H200": 7, "H200 NVL": 7, "H20 96GB": 7, "H20 141GB": 7}
    | {"GH200 96GB": 7, "GH200 144GB": 7, "B200": 7, "GB200": 7, "B300": 7, "GB300": 7}
    | {"RTX PRO 6000 Blackwell": 4, "RTX PRO 6000 Blackwell Max-Q": 4, "RTX PRO 6000 Blackwell Server": 4}
)
"""The cards that can be cut, and into how many compute slices (NVIDIA MIG user guide, supported GPUs)."""
MEMORY_SLICES = 8
# Of its eighths of the card, what a slice is given at the least: 1g.5gb of an A100 40GB has 4.75 of 5 GiB
# (NVIDIA MIG user guide, nvidia-smi mig -lgip). Used where no label or driver tells the memory.
MEMORY_SHARE = 0.95


def slice_card(card: GpuCard, profile: str) -> GpuCard | None:
    """The slice of `card` that the profile names; None where there is no such slice."""
    match = PROFILE.fullmatch(profile)
    whole = COMPUTE_SLICES.get(card.name)
    if match is None or whole is None or card.bandwidth_gbps is None:
        return None
    compute = int(match["part"] or match["compute"]) / whole
    eighths = round(MEMORY_SLICES * int(match["gb"]) / card.memory_gib)
    if not 0 < compute <= 1 or not 0 < eighths <= MEMORY_SLICES:
        return None
    share = eighths / MEMORY_SLICES
    return replace(
        card,
        name=f"{card.name} {profile.lower()}",
        memory_mib=int(card.memory_mib * share * MEMORY_SHARE),
        tflops=MappingProxyType({p: round(peak * compute, 1) for p, peak in card.tflops.items()}),
        bandwidth_gbps=round(card.bandwidth_gbps * share, 1),
        source=f"{card.source} mig",
    )
