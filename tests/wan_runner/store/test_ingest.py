"""One download for everybody: who waits, what they are told, and who goes on when the first one dies."""

from __future__ import annotations

import os
import stat
from io import FileIO
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.wan_runner.store.caches import CHUNK, Source, blob_of, never, open_roomy, tensors_of
from wan_core.errors import IntegrityError, Interrupted, NetworkError
from wan_runner.store import ingest
from wan_runner.store.blob import Blob
from wan_runner.store.cache import Cache
from wan_runner.store.chunks import Span
from wan_runner.store.download import Receipt
from wan_runner.store.ingest import Fill, Ingested, Report, ensure_blob
from wan_runner.store.journal import Journal

DATA = tensors_of(0)
BLOB = blob_of(DATA)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setattr(ingest, "LOOK_EVERY_S", 0.0)
    return open_roomy(tmp_path)


def silent(done: int) -> None:
    pass


def failing(error: Exception) -> Fill[Receipt]:
    """Half a download: one chunk written and claimed, then `error`."""

    def fill(sink: FileIO, journal: Path, report: Report) -> Receipt:
        os.pwrite(sink.fileno(), DATA[:CHUNK], 0)
        with Journal(journal, BLOB) as claims:
            claims.claim(Span(0, CHUNK, BLOB.chunks[0]))
        raise error

    return fill


def test_a_blob_appears_whole_and_read_only_and_nothing_else_stays(cache: Cache) -> None:
    ingested = ensure_blob(cache, BLOB, Source(DATA)("", BLOB), never(), silent)
    blob = cache.blobs / BLOB.name
    assert ingested.bill == Receipt(received=len(DATA))
    assert (blob.read_bytes(), stat.S_IMODE(blob.stat().st_mode)) == (DATA, 0o444)
    assert list(cache.ingest.iterdir()) == []


def test_who_waits_sees_how_far_the_other_is_and_fetches_nothing(cache: Cache) -> None:
    """The journal tells: one chunk is claimed, and the first who fetches goes on when that was seen."""
    begun, seen = Event(), Event()

    def fill(sink: FileIO, journal: Path, report: Report) -> Receipt:
        with Journal(journal, BLOB) as claims:
            claims.claim(Span(0, CHUNK, BLOB.chunks[0]))
        begun.set()
        assert seen.wait(120)
        os.pwrite(sink.fileno(), DATA, 0)
        return Receipt(received=len(DATA))

    leader = Thread(target=lambda: ensure_blob(cache, BLOB, fill, never(), silent))
    leader.start()
    assert begun.wait(120)
    told: list[int] = []

    def tell(done: int) -> None:
        told.append(done)
        seen.set()

    source = Source(DATA)
    waited = ensure_blob(cache, BLOB, source("", BLOB), never(), tell)
    leader.join(120)
    assert (waited.bill, source.served, told[0]) == (None, 0, CHUNK)
    assert waited.waited_s > 0


def test_when_the_one_who_fetches_fails_one_who_waits_goes_on_where_it_stopped(cache: Cache) -> None:
    begun, waiting = Event(), Event()

    def fill(sink: FileIO, journal: Path, report: Report) -> Receipt:
        begun.set()
        assert waiting.wait(120)
        return failing(NetworkError("gone"))(sink, journal, report)

    failures: list[NetworkError] = []

    def lead() -> None:
        try:
            ensure_blob(cache, BLOB, fill, never(), silent)
        except NetworkError as error:
            failures.append(error)

    leader = Thread(target=lead)
    leader.start()
    assert begun.wait(120)
    found: list[bytes] = []

    def go_on(sink: FileIO, journal: Path, report: Report) -> Receipt:
        with Journal(journal, BLOB) as claims:
            assert claims.claims == [Span(0, CHUNK, BLOB.chunks[0])]
        found.append(os.pread(sink.fileno(), CHUNK, 0))
        os.pwrite(sink.fileno(), DATA[CHUNK:], CHUNK)
        return Receipt(received=len(DATA) - CHUNK, resumed=CHUNK)

    ensure_blob(cache, BLOB, go_on, never(), lambda done: waiting.set())
    leader.join(120)
    assert (found, len(failures)) == ([DATA[:CHUNK]], 1)
    assert (cache.blobs / BLOB.name).read_bytes() == DATA


def test_who_waits_can_be_cancelled(cache: Cache) -> None:
    cancel = Event()

    def fill(sink: FileIO, journal: Path, report: Report) -> Receipt:
        with pytest.raises(Interrupted, match="another process fetches"):
            ensure_blob(cache, BLOB, failing(AssertionError()), cancel, lambda done: cancel.set())
        os.pwrite(sink.fileno(), DATA, 0)
        return Receipt(received=len(DATA))

    assert ensure_blob(cache, BLOB, fill, never(), silent).bill is not None


@pytest.mark.parametrize(
    ("error", "left"),
    [
        pytest.param(NetworkError("x"), {".part", ".journal"}, id="what can be resumed stays"),
        pytest.param(Interrupted("x"), {".part", ".journal"}, id="cancelled: it stays too"),
        pytest.param(IntegrityError("x"), set(), id="what is wrong goes"),
    ],
)
def test_a_fetch_that_fails_publishes_nothing(cache: Cache, error: Exception, left: set[str]) -> None:
    with pytest.raises(type(error)):
        ensure_blob(cache, BLOB, failing(error), never(), silent)
    assert list(cache.blobs.iterdir()) == []
    assert {path.suffix for path in cache.ingest.iterdir()} == left


def test_a_blob_that_is_wrong_can_be_made_anew_while_it_is_read(cache: Cache) -> None:
    (cache.blobs / BLOB.name).write_bytes(b"\0" * len(DATA))
    with (cache.blobs / BLOB.name).open("rb") as reader:
        again: Ingested[Receipt] = ensure_blob(
            cache, BLOB, Source(DATA)("", BLOB), never(), silent, anew=True
        )
        assert again.bill is not None
        assert reader.read() == b"\0" * len(DATA)
    assert (cache.blobs / BLOB.name).read_bytes() == DATA


def test_an_empty_file_is_a_blob_too(cache: Cache) -> None:
    blob: Blob = blob_of(b"")
    assert ensure_blob(cache, blob, Source(b"")("", blob), never(), silent).bill == Receipt()
    assert (cache.blobs / blob.name).stat().st_size == 0
