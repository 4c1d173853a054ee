"""The GPUs, as data: what a product name says about memory and compute.

Names are those of the label `nvidia.com/gpu.product` (GPU Feature Discovery): NVML's with dashes for spaces.
The tables stand beside this file, by vendor and purpose; what a card's fields mean, in `gpu_card`.
"""

from __future__ import annotations

import re
from functools import lru_cache

from wan_core.catalog.gpu_card import GpuCard, Precision, Profile, profile_of
from wan_core.catalog.gpu_sources import SOURCES
from wan_core.catalog.gpus_datacenter import DATACENTER
from wan_core.catalog.gpus_geforce import DESKTOP, LAPTOP
from wan_core.catalog.gpus_workstation import WORKSTATION

__all__ = ["GPUS", "SOURCES", "GpuCard", "Precision", "Profile", "find_gpu", "profile_of"]

GPUS: tuple[GpuCard, ...] = (*DATACENTER, *WORKSTATION, *DESKTOP, *LAPTOP)

# Words of product names that tell nothing.
NOISE = frozenset({"nvidia", "tesla", "geforce", "generation", "edition", "gpu", "shared"})
KEPT = 4096  # names that are remembered; labels are anybody's
_CARDS = tuple((re.compile(card.pattern, re.IGNORECASE), card) for card in GPUS)


@lru_cache(maxsize=KEPT)
def find_gpu(product: str) -> GpuCard | None:
    """The card behind a product label or NVML name; None if unknown, or a slice of one (MIG)."""
    words = (word for word in re.split(r"[\s_-]+", product) if word)
    name = "-".join(word for word in words if word.lower() not in NOISE)
    return next((card for pattern, card in _CARDS if pattern.fullmatch(name)), None)
