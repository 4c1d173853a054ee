"""One blob from S3 into a file: in parallel, verified while it is written, resumable at every moment.

What S3 may mend (5xx, 429, silence, cut bodies) is asked for again, with growing pauses, for as long as the
pace has patience with a request that gains nothing. What it will say again (403, 404) ends the download at
once. A chunk that arrives wrong is fetched once more, an object that was replaced is begun once more. Whoever
calls holds the lock of the file, flushes it and gives it its name.
"""

from __future__ import annotations

import os
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from threading import Event
from typing import Any

from wan_core.errors import IntegrityError, Interrupted
from wan_runner.store import s3
from wan_runner.store.blob import Blob
from wan_runner.store.chunks import Ledger
from wan_runner.store.crew import Crew
from wan_runner.store.disk import require_space, writing_to
from wan_runner.store.journal import Journal, find_true
from wan_runner.store.pace import Pace
from wan_runner.store.ranges import Replaced, Source, persist


@dataclass(frozen=True)
class Receipt:
    """What it cost. `received` bytes came from S3, `resumed` were here; `retries` requests were repeated."""

    received: int = 0
    resumed: int = 0
    retries: int = 0


def download(
    client: s3.Client,
    place: s3.Location,
    blob: Blob,
    sink: FileIO,
    journal: Path,
    *,
    cancel: Event,
    report: Callable[[int], None],
    pace: Pace,
) -> Receipt:
    """Fills `sink` with the blob's bytes; all of them are verified, as far as its tier allows, on return.

    `client` should send each request once, `s3.connect(attempts=1)`: what fails is tried again here, and
    longer. `report(done)` counts bytes that are written and not known to be wrong, from the calling thread,
    a few times a second; it falls back by a chunk that proves wrong. Raises IntegrityError, NetworkError,
    AccessDenied, ModelNotFound, InsufficientDiskSpace, and Interrupted within about a second after `cancel`
    is set. Whatever it raises, the next call for the same blob resumes from the file and its journal.
    """
    with writing_to(journal, blob.bytes):
        there = os.fstat(sink.fileno())
        require_space(journal.parent, blob.bytes - 512 * there.st_blocks)
        if there.st_size > blob.bytes:
            os.ftruncate(sink.fileno(), blob.bytes)
        with Journal(journal, blob) as claims:
            here = find_true(claims.claims, sink.fileno(), cancel.is_set)
            if cancel.is_set():
                raise Interrupted(f"told to stop before fetching {place.uri}")
            ledger = Ledger(blob, place.uri, here, pace.piece_bytes)
            resumed = ledger.here
            received, retries = _fetch(client, place, ledger, claims, sink.fileno(), cancel, report, pace)
    report(blob.bytes)
    return Receipt(received, resumed, retries)


def _fetch(
    client: s3.Client,
    place: s3.Location,
    ledger: Ledger,
    journal: Journal,
    descriptor: int,
    cancel: Event,
    report: Callable[[int], None],
    pace: Pace,
) -> tuple[int, int]:
    """Fetches what the ledger lacks; returns the bytes that came and the requests that were repeated."""
    source = Source(client, place, ledger.blob.bytes, ledger.blob.etag)
    received = retries = 0
    for is_successor in (False, True):
        if ledger.complete:
            break
        crew = Crew(source, ledger, journal, descriptor, pace)
        try:
            crew.run(cancel, report)
        except IntegrityError as error:
            if is_successor:
                raise Replaced(f"{place.uri} was replaced while it was fetched; then {error}") from error
            if not isinstance(error, Replaced):
                raise
            for piece in ledger.forget_unverified():
                journal.disclaim(piece)
            source = _successor(source, ledger.blob, cancel, pace)
        finally:
            received, retries = received + crew.received, retries + crew.retries
    return received, retries


def _successor(source: Source, blob: Blob, cancel: Event, pace: Pace) -> Source:
    """The object that took the place of `source`. Replaced if its bytes cannot be those of the blob."""
    heads: list[dict[str, Any]] = []
    persist(lambda: heads.append(source.head()), lambda: 0, cancel, pace.patience_s, lambda: None)
    if not heads:
        raise Interrupted(f"told to stop while fetching {source.place.uri}")
    size, stored = heads[0]["ContentLength"], heads[0].get("ChecksumCRC64NVME")
    is_same = bool(blob.chunks)  # which will tell
    if stored and blob.crc64nvme is not None:
        is_same = int.from_bytes(b64decode(stored), "big") == blob.crc64nvme
    if size != blob.bytes or not is_same:
        raise Replaced(
            f"{source.place.uri} was replaced while it was fetched: {size} bytes of other contents are there "
            f"now; {blob.bytes} bytes of {blob.name} were meant",
            advice="Start again; if a manifest names the old contents, publish the model again first.",
        )
    return Source(source.client, source.place, blob.bytes, None)
