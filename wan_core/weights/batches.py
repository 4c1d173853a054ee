"""What is read at once: runs of bytes of one file, in the file's order, each cut into pieces of tensors.

Arithmetic only: no I/O. A piece is a whole number of elements, and lies aligned in the slot that it is read
into, wherever it begins in the file: a read scatters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from wan_core.weights.shards import Stored

SLOT_ALIGNMENT = 64  # bytes, as of memory that torch allocates on the host
PIECES_MAX = 512  # the kernel takes 1024 buffers a read (IOV_MAX)


@dataclass(frozen=True)
class Piece:
    """`nbytes` of the stored tensor `name`, after `skip` bytes of it; `at` is where in a slot."""

    name: str
    skip: int
    nbytes: int
    at: int


@dataclass(frozen=True)
class Batch:
    """Pieces that follow one another in `file` from byte `begin` on without a gap."""

    file: Path
    begin: int
    pieces: tuple[Piece, ...]


def plan_batches(stored: Mapping[str, Stored], slot_bytes: int) -> Iterator[Batch]:
    """Every byte of these tensors once, in batches that each fit a slot."""
    pieces: list[Piece] = []
    file, begin, end, at = Path(), 0, 0, 0
    for name, tensor in in_file_order(stored):
        itemsize, skip = tensor.torch_dtype.itemsize, 0
        while skip < tensor.nbytes:
            fits = (slot_bytes - at) // itemsize * itemsize
            follows = (tensor.file, tensor.begin + skip) == (file, end)
            if pieces and (fits <= 0 or not follows or len(pieces) == PIECES_MAX):
                yield Batch(file, begin, tuple(pieces))
                pieces, at = [], 0
                continue
            if not pieces:
                file, begin = tensor.file, tensor.begin + skip
            nbytes = min(fits, tensor.nbytes - skip)
            pieces.append(Piece(name, skip, nbytes, at))
            skip += nbytes
            end = tensor.begin + skip
            at = -(-(at + nbytes) // SLOT_ALIGNMENT) * SLOT_ALIGNMENT
    if pieces:
        yield Batch(file, begin, tuple(pieces))


def in_file_order(stored: Mapping[str, Stored]) -> list[tuple[str, Stored]]:
    """File by file, each from its beginning."""
    return sorted(stored.items(), key=lambda item: (item[1].file, item[1].begin))
