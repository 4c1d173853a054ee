"""The GPUs, as data: what a product name says about memory and compute.

Names are those of the label `nvidia.com/gpu.product` (GPU Feature Discovery), of NVML, torch, or AMD's node
labeller: spaces, dashes and underscores are the same. The tables stand beside this file, by vendor and
purpose; what a card's fields mean, in `gpu_card`. Apple's GPUs are not here: nothing here runs on them.
"""

from __future__ import annotations

import re
from functools import lru_cache

from wan_core.catalog.gpu_card import GpuCard
from wan_core.catalog.gpu_slices import SLICE, slice_card
from wan_core.catalog.gpus_datacenter import DATACENTER
from wan_core.catalog.gpus_geforce import DESKTOP, LAPTOP
from wan_core.catalog.gpus_others import OTHERS
from wan_core.catalog.gpus_workstation import WORKSTATION

GPUS: tuple[GpuCard, ...] = (*DATACENTER, *WORKSTATION, *DESKTOP, *LAPTOP, *OTHERS)

# Words of product names that tell nothing.
NOISE = frozenset(
    {"nvidia", "tesla", "geforce", "generation", "edition", "gpu", "shared"}
    | {"amd", "instinct", "oam", "intel", "graphics"}
)
MARKS = re.compile(r"\((?:R|TM|C)\)", re.IGNORECASE)
NAMES_MAX = 4096  # names that are remembered; labels are anybody's
_CARDS = tuple((re.compile(card.pattern, re.IGNORECASE), card) for card in GPUS)
_BY_NAME = {card.name.lower().replace(" ", "-"): card for card in GPUS}


@lru_cache(maxsize=NAMES_MAX)
def find_gpu(product: str) -> GpuCard | None:
    """The card behind a product label or a driver's name, or the slice of one (MIG); None if unknown."""
    words = re.split(r"[\s_-]+", MARKS.sub("", product))
    name = "-".join(word for word in words if word and word.lower() not in NOISE)
    if cut := SLICE.fullmatch(name):
        card = find_gpu(cut["card"])
        return None if card is None else slice_card(card, cut["profile"])
    named = _BY_NAME.get(name.lower())
    return named or next((card for pattern, card in _CARDS if pattern.fullmatch(name)), None)
