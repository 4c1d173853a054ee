"""Bytes by what is known of them before they are here: what publishing promises, fetching and the cache keep.

Data only: no I/O. A blob's checksums cover pieces of `CHUNK_BYTES`; the last piece may be shorter.
How far bytes can be verified is the blob's tier, the best that is known:

    manifest   every chunk has its CRC, and the whole its own: a flipped byte costs one chunk
    checksum   only the whole has one, as S3 stored it: a flipped byte is noticed, but not where
    etag       none: size and the object's ETag; bytes that the wire or a disk changed are not noticed
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CHUNK_BYTES = 64 * 2**20

Tier = Literal["manifest", "checksum", "etag"]


@dataclass(frozen=True)
class Blob:
    """One file's bytes.

    `name`: its file name in the cache: "sha256-<hex>", "crc64nvme-<16 hex>-<bytes>" or
    "etag-<hex of sha256(bucket NUL key NUL etag)>-<bytes>".
    `chunks`: CRC64NVME of each `chunk_bytes` piece, from the manifest; empty without one.
    `etag`: of the object that is meant, where no manifest names its bytes.
    `chunk_bytes`: what a chunk is; anything but CHUNK_BYTES only in tests.
    """

    name: str
    bytes: int
    chunks: tuple[int, ...] = ()
    crc64nvme: int | None = None
    etag: str | None = None
    chunk_bytes: int = CHUNK_BYTES

    @property
    def tier(self) -> Tier:
        if self.chunks or (self.bytes == 0 and self.crc64nvme is not None):
            return "manifest"
        return "checksum" if self.crc64nvme is not None else "etag"
