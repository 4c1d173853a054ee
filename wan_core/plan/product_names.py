"""Whether two names mean one GPU product: labels, the driver and people write them in their own ways."""

from __future__ import annotations

from functools import lru_cache

from wan_core.catalog.gpus import find_gpu

NAMES_MAX = 4096


@lru_cache(maxsize=NAMES_MAX)
def product_key(product: str) -> str:
    """The catalogue's name of the product, in small letters: NVIDIA-H100-80GB-HBM3 and H100 SXM are one.

    Of what the catalogue does not know, the name without what does not tell products apart: case, spaces for
    dashes, NVIDIA's own name, and the -SHARED that GPU feature discovery adds where GPUs are time-sliced.
    """
    if card := find_gpu(product):
        return card.name.lower()
    return "-".join(product.split()).lower().removeprefix("nvidia-").removesuffix("-shared")
