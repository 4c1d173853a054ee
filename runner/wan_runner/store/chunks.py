"""Which bytes of a blob are here, which are asked for, and which are wrong. Arithmetic only: no I/O.

A chunk is what a manifest has a checksum for; a piece is what one request asks for, and lies within one
chunk. Pieces are whole chunks while there is enough for everybody; towards the end they shrink to
PIECE_BYTES, so that no worker is idle while another fetches a whole chunk. Spans are bytes that are here,
with their CRC: any way of cutting a chunk into spans folds to the chunk's own CRC.

Not thread safe: its owner holds a lock.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from awscrt import checksums

from wan_core.errors import IntegrityError
from wan_runner.store.blob import Blob

PIECE_BYTES = (
    8 * 2**20
)  # the smallest request worth its round trip: 0.1 s at the 90 MB/s of one S3 connection
MISMATCHES = 2  # so often a chunk may arrive wrong; then it is not the way here that damages it


class Piece(NamedTuple):
    """Bytes `start` to `end`, that one not included."""

    start: int
    end: int

    @property
    def bytes(self) -> int:
        return self.end - self.start


class Span(NamedTuple):
    """Bytes that are here, and their CRC64NVME."""

    start: int
    end: int
    crc: int


def fold(spans: Iterable[Span]) -> int:
    """The CRC64NVME of adjoining spans, in order, as if computed over all their bytes."""
    whole = 0
    for span in spans:
        whole = checksums.combine_crc64nvme(whole, span.crc, span.end - span.start)
    return whole


def split_chunks(size: int, chunk_bytes: int) -> list[Piece]:
    """The chunks of a blob of `size` bytes."""
    return [Piece(start, min(start + chunk_bytes, size)) for start in range(0, size, chunk_bytes)]


def choose_bytes(unassigned: int, workers: int, chunk_bytes: int, piece_bytes: int = PIECE_BYTES) -> int:
    """How much the next request asks for: an even share of the rest, at least a piece, at most a chunk."""
    pieces = -(-unassigned // (workers * piece_bytes))
    return min(chunk_bytes, pieces * piece_bytes)


def find_gaps(piece: Piece, spans: Sequence[Span]) -> list[Piece]:
    """What of `piece` no span covers. `spans` are in order and do not overlap."""
    gaps, at = [], piece.start
    for span in spans:
        if at < span.start:
            gaps.append(Piece(at, span.start))
        at = span.end
    if at < piece.end:
        gaps.append(Piece(at, piece.end))
    return gaps


def require_sound(blob: Blob, where: str) -> None:
    """Raises IntegrityError if what is known of the blob contradicts itself: then no bytes can satisfy it."""
    if blob.bytes == 0 and blob.crc64nvme:
        raise IntegrityError(f"{where}: no bytes have CRC64NVME {blob.crc64nvme:016x}")
    if not blob.chunks:
        return
    chunks = split_chunks(blob.bytes, blob.chunk_bytes)
    if len(chunks) != len(blob.chunks):
        raise IntegrityError(
            f"{where}: its manifest has {len(blob.chunks)} chunk checksums for {len(chunks)} chunks"
        )
    whole = fold(Span(*chunk, crc) for chunk, crc in zip(chunks, blob.chunks, strict=True))
    if blob.crc64nvme is not None and whole != blob.crc64nvme:
        raise IntegrityError(
            f"{where}: its manifest contradicts itself: the chunks' checksums make CRC64NVME {whole:016x}, "
            f"the whole has {blob.crc64nvme:016x}"
        )


class Ledger:
    """The state of one blob's bytes. Every byte is missing, asked for (taken), or here in a span."""

    def __init__(self, blob: Blob, where: str, here: Iterable[Span] = (), piece_bytes: int = PIECE_BYTES):
        """`here`: spans from before, each within one chunk and none over another."""
        require_sound(blob, where)
        self.blob, self.where, self.piece_bytes = blob, where, piece_bytes
        self.chunks = split_chunks(blob.bytes, blob.chunk_bytes)
        self.spans: list[list[Span]] = [[] for _ in self.chunks]
        self.missing: list[Piece] = []  # backwards: the first byte's is last, and is taken first
        self.mismatches: Counter[int] = Counter()
        self.unassigned = self.here = 0
        for span in sorted(here):
            self.spans[span.start // blob.chunk_bytes].append(span)
            self.here += span.end - span.start
        for chunk, spans in zip(self.chunks, self.spans, strict=True):
            for gap in find_gaps(chunk, spans):
                self.give_back(gap)
        for index in range(len(blob.chunks) or 1):
            self._check(index)

    @property
    def complete(self) -> bool:
        return self.here == self.blob.bytes

    def take(self, workers: int) -> Piece | None:
        """The next piece to ask for, in the order of the bytes; None if all are here or asked for."""
        if not self.missing:
            return None
        size = choose_bytes(self.unassigned, workers, self.blob.chunk_bytes, self.piece_bytes)
        first = self.missing.pop()
        if first.bytes - size >= self.piece_bytes:  # no crumbs
            self.missing.append(Piece(first.start + size, first.end))
            first = Piece(first.start, first.start + size)
        self.unassigned -= first.bytes
        return first

    def give_back(self, piece: Piece) -> None:
        """What was taken and did not come."""
        if piece.bytes:
            insort(self.missing, piece, key=lambda each: -each.start)
            self.unassigned += piece.bytes

    def add(self, span: Span) -> Piece | None:
        """Bytes that came. If they complete something wrong, all of that is missing again, and returned.

        Raises IntegrityError if it is wrong for the second time.
        """
        index = span.start // self.blob.chunk_bytes
        insort(self.spans[index], span)
        self.here += span.end - span.start
        return self._check(index)

    def forget_unverified(self) -> list[Piece]:
        """What was not compared with the manifest's checksums is missing again; returns those chunks."""
        unverified = [i for i in range(len(self.chunks)) if not (self.blob.chunks and self._is_full(i))]
        for index in unverified:
            self._forget(index)
        return [self.chunks[index] for index in unverified]

    def _is_full(self, index: int) -> bool:
        return not find_gaps(self.chunks[index], self.spans[index])

    def _check(self, index: int) -> Piece | None:
        """Compares the chunk, or without its checksum the whole, as soon as all of it is here.

        Returns what is forgotten because it was wrong.
        """
        if self.blob.chunks:
            wanted: int | None = self.blob.chunks[index]
            affected = [index]
            what = f"chunk {index} of {len(self.chunks)} (bytes {self.chunks[index].start} to "
            what += f"{self.chunks[index].end - 1})"
            ready = self._is_full(index)
        else:
            wanted, affected = self.blob.crc64nvme, list(range(len(self.chunks)))
            what, ready = "the whole object", self.complete and wanted is not None
        if not ready:
            return None
        found = fold(span for each in affected for span in self.spans[each])
        if found == wanted:
            return None
        self.mismatches[index if self.blob.chunks else -1] += 1
        if max(self.mismatches.values()) >= MISMATCHES:
            raise IntegrityError(
                f"{self.where}: {what} arrived {MISMATCHES} times with CRC64NVME other than {wanted:016x}, "
                f"the last time with {found:016x}"
            )
        for each in affected:
            self._forget(each)
        return Piece(self.chunks[affected[0]].start, self.chunks[affected[-1]].end)

    def _forget(self, index: int) -> None:
        self.here -= sum(span.end - span.start for span in self.spans[index])
        for span in self.spans[index]:
            self.give_back(Piece(span.start, span.end))
        self.spans[index] = []
