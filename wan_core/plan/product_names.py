"""Whether two names mean one GPU product: labels, the driver and people write them in their own ways."""

from __future__ import annotations

from functools import lru_cache

NAMES_MAX = 4096


@lru_cache(maxsize=NAMES_MAX)
def product_key(product: str) -> str:
    """The name without what does not tell products apart: case, spaces for dashes, NVIDIA's own name, and
    the -SHARED that GPU feature discovery adds where GPUs are time-sliced.
    """
    return "-".join(product.split()).lower().removeprefix("nvidia-").removesuffix("-shared")
