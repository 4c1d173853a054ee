"""What a download has reached, written down as it goes, so that the next process need not fetch it again.

An append-only file beside the ingest file: a header that names the blob, then records, each with a CRC32 of
its own: a span of bytes that was fetched and written, with their CRC64NVME, or a range that proved wrong.
Nothing is flushed to disk: a record is a claim, and counts only if the bytes that are read back have its
CRC. A torn record, and whatever follows it, is cut off. Whoever holds the lock of the ingest file owns the
journal.
"""

from __future__ import annotations

import os
import struct
import zlib
from bisect import bisect
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from awscrt import checksums

from wan_runner.store.blob import Blob
from wan_runner.store.chunks import Piece, Span

_MAGIC = b"wanfetch"
_HEADER = struct.Struct("<8sQI")  # magic, CRC64NVME of what the blob is, CRC32 of both
_RECORD = struct.Struct("<BQQQI")  # kind, start, end, CRC64NVME of the bytes, CRC32 of all that
_LOST, _HERE = 0, 1
_READ_BYTES = 2**20
_READERS = 4  # as many as keep an NVMe busy; the CRC itself costs nothing beside the reading


def _sealed(layout: struct.Struct, *fields: object) -> bytes:
    body = layout.pack(*fields, 0)[:-4]
    return body + zlib.crc32(body).to_bytes(4, "little")


def _header(blob: Blob) -> bytes:
    what = f"{blob.name} {blob.bytes} {blob.chunk_bytes} {blob.etag}"
    return _sealed(_HEADER, _MAGIC, checksums.crc64nvme(what.encode()))


def parse(data: bytes, blob: Blob) -> tuple[list[Span], int]:
    """The claims of a journal of this blob, oldest first, and how many of its bytes are sound."""
    if data[: _HEADER.size] != _header(blob):
        return [], 0
    claims: list[Span] = []
    at = _HEADER.size
    while at + _RECORD.size <= len(data):
        kind, start, end, crc, _ = _RECORD.unpack_from(data, at)
        if data[at : at + _RECORD.size] != _sealed(_RECORD, kind, start, end, crc):
            break
        if kind == _HERE:
            claims.append(Span(start, end, crc))
        else:
            claims = [claim for claim in claims if claim.end <= start or end <= claim.start]
        at += _RECORD.size
    return claims, at


def choose_newest(claims: Sequence[Span]) -> list[Span]:
    """Claims that do not overlap. Of two that do, the later one: its bytes were written over the other's."""
    chosen: list[Span] = []  # in order of their bytes
    for claim in reversed(claims):
        at = bisect(chosen, claim)
        before, after = chosen[at - 1 : at] if at else [], chosen[at : at + 1]
        if all(each.end <= claim.start for each in before) and all(claim.end <= each.start for each in after):
            chosen.insert(at, claim)
    return chosen


def holds(descriptor: int, claim: Span, stopped: Callable[[], bool]) -> bool:
    """Whether the file's bytes are those of the claim."""
    buffer, at, crc = memoryview(bytearray(_READ_BYTES)), claim.start, 0
    while at < claim.end and not stopped():
        count = os.preadv(descriptor, [buffer[: claim.end - at]], at)
        if not count:
            return False
        crc = checksums.crc64nvme(buffer[:count], crc)
        at += count
    return at == claim.end and crc == claim.crc


def find_true(claims: Sequence[Span], descriptor: int, stopped: Callable[[], bool]) -> list[Span]:
    """The claims that the bytes behind `descriptor` bear out."""
    newest = choose_newest(claims)
    with ThreadPoolExecutor(_READERS) as readers:
        true = list(readers.map(lambda claim: holds(descriptor, claim, stopped), newest))
    return [claim for claim, is_true in zip(newest, true, strict=True) if is_true]


class Journal:
    """The journal's open file, and the claims that it had when it was opened. Not thread safe."""

    def __init__(self, path: Path, blob: Blob):
        self._descriptor = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644
        )
        self.claims, sound = parse(path.read_bytes(), blob)
        os.ftruncate(self._descriptor, sound)
        if not sound:
            self._write(_header(blob))

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def claim(self, span: Span) -> None:
        """These bytes are in the file."""
        self._write(_sealed(_RECORD, _HERE, *span))

    def disclaim(self, piece: Piece) -> None:
        """What was claimed of these bytes counts no more."""
        self._write(_sealed(_RECORD, _LOST, *piece, 0))

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._descriptor, data) :]
