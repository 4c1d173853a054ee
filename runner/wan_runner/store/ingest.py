"""One blob into the cache: by one process of the node, while the others wait and see how far it is.

Whoever holds the lock of the partial file fetches. It dies: the kernel frees the lock, and one of those who
wait goes on where it stopped. What fills the file with verified bytes is given: this module decides who
calls it, and publishes. Not covered: a holder that lives but was stopped; it is waited for.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from secrets import token_hex
from threading import Event
from typing import Generic, TypeVar

from wan_core.errors import IntegrityError
from wan_runner.store.blob import Blob
from wan_runner.store.cache import Cache, is_cached, publish_blob, put_away
from wan_runner.store.disk import writing_to
from wan_runner.store.evict import discard
from wan_runner.store.journal import choose_newest, parse
from wan_runner.store.leases import locked

LOOK_EVERY_S = 0.5

Report = Callable[[int], None]
Bill = TypeVar("Bill")
Fill = Callable[[FileIO, Path, Report], Bill]
"""Fills the file with the blob's bytes, all verified; resumes from the journal at the path; says what it
cost."""


@dataclass(frozen=True)
class Ingested(Generic[Bill]):
    """`bill` is None where another process fetched the blob; `waited_s` was spent on seeing it do so."""

    bill: Bill | None
    waited_s: float


def ensure_blob(
    cache: Cache, blob: Blob, fill: Fill[Bill], cancel: Event, report: Report, *, anew: bool = False
) -> Ingested[Bill]:
    """Makes the blob be there; `report` is told its bytes that have arrived, whoever fetches them.

    `anew`: even if it is there, for it is wrong.

    The caller holds its lease. Whatever this raises, no bytes that were not verified become visible; what can
    be resumed is kept.
    """
    begun = time.monotonic()
    with _held(cache, blob, cancel, report) as (part, sink):
        waited_s = time.monotonic() - begun
        if not anew and is_cached(cache, blob):  # our last look was without the lock
            discard(part)
            return Ingested(None, waited_s)
        if not anew:
            _put_away_odd(cache, blob)
        with writing_to(part, blob.bytes):
            bill = _filled(part, sink, fill, report)
            if not cache.has_locks and not anew and is_cached(cache, blob):  # others may read that one
                return Ingested(bill, waited_s)
            publish_blob(cache, part, sink.fileno(), blob.name)
            part.with_suffix(".journal").unlink(missing_ok=True)
    return Ingested(bill, waited_s)


def _put_away_odd(cache: Cache, blob: Blob) -> None:
    """A blob of another size than its own: a disk that lost bytes, for we publish none such."""
    with suppress(FileNotFoundError):
        size = (cache.blobs / blob.name).stat().st_size
        put_away(cache, blob.name, f"it has {size} bytes instead of {blob.bytes}")


def _filled(part: Path, sink: FileIO, fill: Fill[Bill], report: Report) -> Bill:
    try:
        return fill(sink, part.with_suffix(".journal"), report)
    except IntegrityError:  # what has arrived cannot be told from what is wrong
        discard(part)
        raise


@contextmanager
def _held(cache: Cache, blob: Blob, cancel: Event, report: Report) -> Iterator[tuple[Path, FileIO]]:
    """The partial file of the blob, ours alone; where locks cannot be trusted, one under a name of our
    own."""
    if not cache.has_locks:
        with _own(cache.ingest / f"{blob.name}.{token_hex(8)}.part") as held:
            yield held
        return
    part = cache.ingest / f"{blob.name}.part"
    doing = f"another process fetches {blob.name}"
    leader = _Leader(part.with_suffix(".journal"), blob, report)
    with locked(part, cancel, doing, waiting=leader.look) as sink:
        yield part, sink


class _Leader:
    """Who fetches while we wait: how far it is, from its journal."""

    def __init__(self, journal: Path, blob: Blob, report: Report) -> None:
        self._journal, self._blob, self._report = journal, blob, report
        self._next_s, self._done = 0.0, 0

    def look(self) -> None:
        """Tells, every LOOK_EVERY_S, what has arrived; never less than was told before."""
        now = time.monotonic()
        if now < self._next_s:
            return
        self._next_s = now + LOOK_EVERY_S
        with suppress(FileNotFoundError):
            claims, _ = parse(self._journal.read_bytes(), self._blob)
            spans = choose_newest(claims)
            self._done = max(self._done, sum(span.end - span.start for span in spans))
        self._report(self._done)


@contextmanager
def _own(part: Path) -> Iterator[tuple[Path, FileIO]]:
    handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with FileIO(handle, "rb+") as sink:
        try:
            yield part, sink
        finally:
            discard(part)
