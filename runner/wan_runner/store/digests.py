"""What is known of a file's bytes once they were read: all of it in one pass, as publishing needs it.

SHA-256 names the bytes; CRC64NVME is what S3 stores of an object and what a fetch checks each chunk with.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from io import BytesIO
from pathlib import Path
from typing import Protocol

from awscrt import checksums

from wan_runner.store.blob import CHUNK_BYTES

READ_BYTES = 4 * 2**20


class Readable(Protocol):
    """A file opened raw, BytesIO, or the body of an answer."""

    def readinto(self, buffer: memoryview, /) -> int | None: ...


@dataclass(frozen=True)
class Digests:
    """`sha256` in hex; `chunks` has the CRC64NVME of each `chunk_bytes`, none for no bytes.

    Chunks are of CHUNK_BYTES wherever a manifest is to hold them.
    """

    bytes: int
    sha256: str
    crc64nvme: int
    chunks: tuple[int, ...]
    chunk_bytes: int = CHUNK_BYTES


def digest_of(data: bytes) -> Digests:
    """The digests of bytes in memory."""
    return digest_stream(BytesIO(data))


def digest_file(
    path: Path, tick: Callable[[int], None] = lambda count: None, chunk_bytes: int = CHUNK_BYTES
) -> Digests:
    """The digests of a file, read once; `tick` is told the bytes of each read, and may raise to stop."""
    with path.open("rb", buffering=0) as file:
        return digest_stream(file, tick, chunk_bytes)


def digest_stream(
    file: Readable, tick: Callable[[int], None] = lambda count: None, chunk_bytes: int = CHUNK_BYTES
) -> Digests:
    """The same of whatever is read from `file` until it ends."""
    buffer = memoryview(bytearray(READ_BYTES))
    whole, sizes, chunks = hashlib.sha256(), [], []
    while count := file.readinto(buffer):
        piece = buffer[:count]
        whole.update(piece)
        _extend(sizes, chunks, piece, chunk_bytes)
        tick(count)
    crc = fold(zip(chunks, sizes, strict=True))
    return Digests(sum(sizes), whole.hexdigest(), crc, tuple(chunks), chunk_bytes)


def _extend(sizes: list[int], chunks: list[int], piece: memoryview, chunk_bytes: int) -> None:
    """Adds what was read to the chunk that it belongs to, or to the one after it: reads may be short."""
    while piece:
        if not sizes or sizes[-1] == chunk_bytes:
            sizes.append(0)
            chunks.append(0)
        taken = piece[: chunk_bytes - sizes[-1]]
        chunks[-1] = checksums.crc64nvme(taken, chunks[-1])
        sizes[-1] += len(taken)
        piece = piece[len(taken) :]


def fold(pieces: Iterable[tuple[int, int]]) -> int:
    """The CRC64NVME of pieces in their order, each given by its own and its size."""
    return reduce(lambda crc, piece: checksums.combine_crc64nvme(crc, *piece), pieces, 0)


def chunk_sizes(size: int) -> list[int]:
    """The sizes of a file's chunks: all but the last are CHUNK_BYTES."""
    return [min(CHUNK_BYTES, size - start) for start in range(0, size, CHUNK_BYTES)]


def to_hex(crc: int) -> str:
    """16 digits, as manifests have it."""
    return f"{crc:016x}"


def to_base64(crc: int) -> str:
    """The 8 bytes, highest first, in base64, as S3 has it."""
    return base64.b64encode(crc.to_bytes(8, "big")).decode()


def from_base64(text: str) -> int:
    """The inverse of `to_base64`. Raises ValueError for what is no CRC64NVME of S3's."""
    data = base64.b64decode(text, validate=True)
    if len(data) != 8:
        raise ValueError(f"{text!r} holds {len(data)} bytes, not 8")
    return int.from_bytes(data, "big")
