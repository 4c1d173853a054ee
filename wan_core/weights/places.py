"""Where loaded tensors come to lie: in this process' memory, or on a device.

On a device all tensors of a file are views of one allocation. On the host each has its own, so that what is
packed anew for streaming can be given back tensor by tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

import torch
from torch import Tensor

from wan_core.weights.carrier import Carrier, PlainCarrier, build_carrier

ALIGNMENT = 256  # bytes, as of CUDA's allocations: what a kernel may take for granted of a tensor


@dataclass(frozen=True)
class Place:
    """`allocate` gives memory for the tensors of one file, by their sizes in bytes. `direct`: files can be
    read straight into it.
    """

    allocate: Callable[[Sequence[int]], list[Tensor]]
    carrier: Carrier
    direct: bool


def place_on(device: torch.device | str) -> Place:
    """The memory of a device; of the CPU, this process' own."""
    device = torch.device(device)
    if device.type == "cpu":
        return Place(_allocate_each, PlainCarrier(), direct=True)
    take = partial(torch.empty, dtype=torch.uint8, device=device)
    return Place(partial(cut_slab, take), build_carrier(device), direct=False)


def cut_slab(take: Callable[[int], Tensor], sizes: Sequence[int]) -> list[Tensor]:
    """Aligned views, one of each size, of one run of bytes that `take` allocates."""
    ends = list(accumulate(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes))
    slab = take(ends[-1] if ends else 0)
    return [slab[begin : begin + size] for begin, size in zip([0, *ends], sizes, strict=False)]


def _allocate_each(sizes: Sequence[int]) -> list[Tensor]:
    return [torch.empty(size, dtype=torch.uint8) for size in sizes]
