"""The cache read again: are its bytes still those that were verified? Bad chunks, and no others, are fetched
anew.

What is known of a blob stands in the marks of the models that link to it: the checksum of each chunk where a
manifest named it, else that of the whole, else nothing but its size. A repaired blob is a copy beside the bad
one, which takes its name by rename: whoever reads the bad one goes on with it. What is bad a second time, or
cannot be fetched, goes to quarantine unless somebody uses it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from threading import Event

from awscrt import checksums

from wan_core.errors import Interrupted, WanError
from wan_runner.store.blob import Blob
from wan_runner.store.cache import Cache, is_cached, open_cache, put_away
from wan_runner.store.chunks import Piece, Span, split_chunks
from wan_runner.store.disk import write_all
from wan_runner.store.download import Receipt
from wan_runner.store.ingest import Fill, Report, ensure_blob
from wan_runner.store.journal import Journal
from wan_runner.store.leases import leased, locked_now
from wan_runner.store.origin import Origin, open_origin
from wan_runner.store.space import reserved
from wan_runner.store.tree import drop_tree, read_trees

log = logging.getLogger(__name__)

READ_BYTES = 2**20


@dataclass(frozen=True)
class Finding:
    """A blob whose bytes are wrong: in `chunks`, or somewhere where that is None.

    `reason` is why it is not right again, empty if it is; `gone`: it lies in quarantine.
    """

    name: str
    chunks: tuple[int, ...] | None
    reason: str
    gone: bool = False


@dataclass(frozen=True)
class Scrubbed:
    """What was read, and what was found to be wrong; of the blobs `unknown` there is no checksum."""

    blobs: int
    bytes: int
    findings: tuple[Finding, ...]
    unknown: tuple[str, ...]


def scrub(
    cache_dir: Path,
    cancel: Event,
    tell: Callable[[int, int], None],
    *,
    repair: bool = True,
    only: Collection[str] | None = None,
    origin: Origin | None = None,
) -> Scrubbed:
    """Reads the blobs of all models, or of those with a digest in `only`; `tell(done, total)` counts bytes.

    With `repair`, what is wrong is mended or put into quarantine. Raises Interrupted soon after `cancel` is
    set. `origin`: how blobs are filled again; from S3 if it is not given.
    """
    cache, origin = open_cache(cache_dir), origin or open_origin(cancel)
    known = _known(cache, only)
    total, done = sum(blob.bytes for blob, _ in known), 0
    findings, unknown = [], []
    for blob, uris in known:

        def read(count: int, done: int = done) -> None:
            tell(done + count, total)

        with leased(cache.leases, [blob.name], cancel):
            if is_cached(cache, blob) and blob.tier == "etag":
                unknown.append(blob.name)
            wrong = find_bad(cache, blob, cancel, read)
            reason = "not repaired" if wrong != () else ""
            if wrong != () and repair:
                reason = _mend(cache, blob, wrong, [origin(uri, blob) for uri in uris], cancel)
        if wrong != ():
            gone = bool(reason) and repair and quarantine_blob(cache, blob.name, reason)
            findings.append(Finding(blob.name, wrong, reason, gone))
            log.warning("%s had wrong bytes in %s: %s", blob.name, wrong or "it", reason or "repaired")
        done += blob.bytes
    return Scrubbed(len(known), total, tuple(findings), tuple(unknown))


def find_bad(cache: Cache, blob: Blob, cancel: Event, tell: Report) -> tuple[int, ...] | None:
    """The chunks of the blob that are wrong, read from the disk; None if only the whole is known to be."""
    whole, wrong = 0, []
    with (cache.blobs / blob.name).open("rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size != blob.bytes:
            return None
        with suppress(AttributeError):  # not on every platform: then memory may be read instead of the disk
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        for index, chunk in enumerate(split_chunks(blob.bytes, blob.chunk_bytes)):
            if cancel.is_set():
                raise Interrupted(f"told to stop while reading {blob.name}")
            found = _crc(file, chunk)
            whole = checksums.combine_crc64nvme(whole, found, chunk.bytes)
            if blob.chunks and blob.chunks[index] != found:
                wrong.append(index)
            tell(chunk.end)
    if not blob.chunks and blob.crc64nvme is not None and whole != blob.crc64nvme:
        return None
    return tuple(wrong)


def _crc(file: FileIO, chunk: Piece) -> int:
    buffer, at, crc = memoryview(bytearray(READ_BYTES)), chunk.start, 0
    while at < chunk.end:
        count = os.preadv(file.fileno(), [buffer[: chunk.end - at]], at)
        if not count:
            break
        crc = checksums.crc64nvme(buffer[:count], crc)
        at += count
    return crc


def _known(cache: Cache, only: Collection[str] | None) -> list[tuple[Blob, list[str]]]:
    """The blobs of whole models, each with the addresses of the objects that have its bytes."""
    known: dict[str, tuple[Blob, list[str]]] = {}
    for tree in read_trees(cache):
        if only is None or tree.folder.name in only:
            for blob in tree.files.values():
                uris = known.setdefault(blob.name, (blob, []))[1]
                if tree.uris[blob.name] not in uris:
                    uris.append(tree.uris[blob.name])
    return [(blob, uris) for name, (blob, uris) in known.items() if (cache.blobs / name).exists()]


def _mend(
    cache: Cache, blob: Blob, wrong: tuple[int, ...] | None, fills: Iterable[Fill[Receipt]], cancel: Event
) -> str:
    """Fetches the wrong chunks again, from the first place that has them. Why that failed; empty if not."""
    reasons = []
    for fill in fills:
        try:
            with reserved(cache, {f"{blob.name}.again": blob.bytes}, cancel):
                ensure_blob(cache, blob, _keeping(cache, blob, wrong, fill), cancel, _silent, anew=True)
        except Interrupted:
            raise
        except WanError as error:
            reasons.append(error.message)
        else:
            if find_bad(cache, blob, cancel, _silent) == ():
                return ""
            reasons.append("its bytes were wrong again as soon as they were read back: the disk damages them")
            break
    return "; ".join(reasons)


def _keeping(cache: Cache, blob: Blob, wrong: tuple[int, ...] | None, fill: Fill[Receipt]) -> Fill[Receipt]:
    """`fill`, which finds the chunks that are right in its file already."""

    def fill_rest(sink: FileIO, journal: Path, report: Report) -> Receipt:
        chunks = enumerate(split_chunks(blob.bytes, blob.chunk_bytes)) if wrong is not None else ()
        right = [Span(*chunk, blob.chunks[index]) for index, chunk in chunks if index not in (wrong or ())]
        sink.truncate(0)
        journal.unlink(missing_ok=True)
        with (cache.blobs / blob.name).open("rb", buffering=0) as bad, Journal(journal, blob) as claims:
            for span in right:
                _copy(bad, sink, span)
                claims.claim(span)
        return fill(sink, journal, report)

    return fill_rest


def _copy(source: FileIO, sink: FileIO, span: Span) -> None:
    source.seek(span.start)
    sink.seek(span.start)
    while source.tell() < span.end and (data := source.read(min(READ_BYTES, span.end - source.tell()))):
        write_all(sink, memoryview(data))


def quarantine_blob(cache: Cache, name: str, reason: str) -> bool:
    """Whether nobody uses the blob, and it is put away now, and the models with it."""
    with locked_now(cache.leases / name) as held:
        if held is None or not (cache.blobs / name).exists():
            return False
        for tree in read_trees(cache):
            if any(blob.name == name for blob in tree.files.values()):
                drop_tree(tree.folder)
        put_away(cache, name, reason)
    return True


def _silent(done: int) -> None:
    pass
