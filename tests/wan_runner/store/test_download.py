"""What a download survives, what it refuses, and what it leaves behind: against a server that misbehaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.wan_runner.store.downloads import CHUNK_BYTES, PATH, Fetch, listed, quick, unlisted
from tests.wan_runner.store.fault_server import (
    Answer,
    Cut,
    Fault,
    FaultServer,
    Flip,
    Lost,
    Short,
)
from wan_core.errors import AccessDenied, IntegrityError, ModelNotFound, NetworkError, WanError
from wan_runner.store import pace
from wan_runner.store.blob import Blob

DATA = os.urandom(10 * CHUNK_BYTES + 12_345)


@pytest.fixture
def fetch(tmp_path: Path, server: FaultServer) -> Fetch:
    server.put("weights", "m/a.bin", DATA)
    return Fetch(tmp_path, listed(DATA))


def test_every_byte_comes_once_and_lands_where_it_belongs(server: FaultServer, fetch: Fetch) -> None:
    receipt = fetch.run()
    assert fetch.part.read_bytes() == DATA
    assert (receipt.received, receipt.resumed, receipt.retries) == (len(DATA), 0, 0)
    assert server.served() == len(DATA)
    assert fetch.told[-1] == len(DATA)


def test_workers_fetch_at_the_same_time_each_over_its_own_connection(
    server: FaultServer, fetch: Fetch
) -> None:
    server.connection_bytes_per_s = 400_000  # slow enough for all to be there before the first is done
    fetch.run()
    assert server.most_at_once == 4
    assert server.connections_made == 4


def test_all_requests_but_the_first_name_the_version_that_was_begun_with(
    server: FaultServer, fetch: Fetch
) -> None:
    fetch.pace = quick(workers=1)
    fetch.run()
    first, *others = server.gets()
    assert first.if_match is None
    assert {asked.if_match for asked in others} == {server.objects[PATH].etag}


@pytest.mark.parametrize(
    ("data", "blob"),
    [
        pytest.param(b"", listed(b""), id="no bytes"),
        pytest.param(b"x", listed(b"x"), id="one byte"),
        pytest.param(DATA[:CHUNK_BYTES], listed(DATA[:CHUNK_BYTES]), id="one chunk"),
        pytest.param(DATA[: CHUNK_BYTES + 1], listed(DATA[: CHUNK_BYTES + 1]), id="one chunk and a byte"),
    ],
)
def test_a_blob_of_any_size_comes_whole(server: FaultServer, tmp_path: Path, data: bytes, blob: Blob) -> None:
    server.put("weights", "m/a.bin", data)
    fetch = Fetch(tmp_path, blob)
    fetch.run()
    assert fetch.part.read_bytes() == data


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Cut(after=1000), id="cut body"),
        pytest.param(Cut(after=0), id="no body"),
        pytest.param(Lost(), id="no answer"),
        pytest.param(Short(by=1000), id="fewer bytes than asked for"),
        pytest.param(Answer(500, "InternalError"), id="500"),
        pytest.param(Answer(503, "SlowDown"), id="503"),
        pytest.param(Answer(429, "TooManyRequests"), id="429"),
        pytest.param(Answer(400, "RequestTimeout"), id="request timeout"),
    ],
)
def test_what_passes_is_asked_for_again_from_the_byte_reached(
    server: FaultServer, fetch: Fetch, fault: Fault
) -> None:
    server.when(fault, times=6)
    receipt = fetch.run()
    assert fetch.part.read_bytes() == DATA
    assert receipt.retries == 6
    assert receipt.received == len(DATA)


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        pytest.param(Answer(403, "AccessDenied"), AccessDenied, "AccessDenied", id="refused"),
        pytest.param(Answer(400, "ExpiredToken"), AccessDenied, "ExpiredToken", id="expired"),
        pytest.param(Answer(403, "RequestTimeTooSkewed"), AccessDenied, "clock", id="clock skew"),
        pytest.param(Answer(404, "NoSuchKey"), ModelNotFound, "there is no", id="gone"),
        pytest.param(Answer(501, "NotImplemented"), AccessDenied, "cannot do this", id="not implemented"),
    ],
)
def test_what_s3_would_say_again_ends_the_download_at_once(
    server: FaultServer, fetch: Fetch, fault: Fault, error: type[WanError], said: str
) -> None:
    server.when(fault, times=None)
    with pytest.raises(error, match=said) as caught:
        fetch.run()
    assert "s3://weights/m/a.bin" in caught.value.message
    assert len(server.gets()) <= 4  # each worker's first


def test_a_storm_of_refusals_is_ridden_out(server: FaultServer, fetch: Fetch) -> None:
    server.when(Answer(503, "SlowDown"), times=60)
    assert fetch.run().retries == 60
    assert fetch.part.read_bytes() == DATA


def test_a_store_that_is_down_is_a_network_error_once_patience_is_over(
    server: FaultServer, fetch: Fetch
) -> None:
    fetch.pace = quick(patience_s=0.3)
    server.when(Answer(503, "SlowDown"), times=None)
    with pytest.raises(NetworkError, match=r"503 SlowDown.*gained nothing") as caught:
        fetch.run()
    assert caught.value.row.retryable


def test_a_server_that_cuts_every_body_at_once_does_not_hold_us_for_ever(
    server: FaultServer, fetch: Fetch
) -> None:
    fetch.pace = quick(patience_s=0.3)
    server.when(Cut(after=10), times=None)
    with pytest.raises(NetworkError, match="gained nothing"):
        fetch.run()


def test_retry_after_is_honoured(server: FaultServer, fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float | None] = []
    choose = pace.choose_pause

    def watched(failures: int, retry_after_s: float | None) -> float:
        asked.append(retry_after_s)
        return choose(failures, None)

    monkeypatch.setattr("wan_runner.store.ranges.choose_pause", watched)
    server.when(Answer(503, "SlowDown", retry_after=7), times=2)
    fetch.run()
    assert asked == [7.0, 7.0]


def test_a_flipped_byte_costs_one_chunk(server: FaultServer, fetch: Fetch) -> None:
    at = 3 * CHUNK_BYTES + 5
    server.when(Flip(at), covering=at)
    receipt = fetch.run()
    assert fetch.part.read_bytes() == DATA
    assert receipt.received == len(DATA) + CHUNK_BYTES


def test_a_chunk_that_arrives_wrong_twice_is_named_with_both_checksums(
    server: FaultServer, fetch: Fetch
) -> None:
    at = 3 * CHUNK_BYTES + 5
    server.when(Flip(at), covering=at, times=2)
    with pytest.raises(IntegrityError, match=r"s3://weights/m/a\.bin: chunk 3 of 11") as caught:
        fetch.run()
    assert f"{fetch.blob.chunks[3]:016x}" in caught.value.message


def test_two_chunks_may_each_be_wrong_once(server: FaultServer, fetch: Fetch) -> None:
    for at in (5, 4 * CHUNK_BYTES, len(DATA) - 1):
        server.when(Flip(at), covering=at)
    fetch.run()
    assert fetch.part.read_bytes() == DATA


def test_without_a_manifest_a_flipped_byte_is_noticed_and_all_is_fetched_once_more(
    server: FaultServer, fetch: Fetch
) -> None:
    fetch.blob = unlisted(DATA, server.objects[PATH].etag)
    server.when(Flip(77), covering=77)
    assert fetch.run().received == 2 * len(DATA)
    assert fetch.part.read_bytes() == DATA


def test_without_a_manifest_wrong_bytes_twice_are_an_integrity_error(
    server: FaultServer, fetch: Fetch
) -> None:
    fetch.blob = unlisted(DATA, server.objects[PATH].etag)
    server.when(Flip(77), covering=77, times=2)
    with pytest.raises(IntegrityError, match="the whole object arrived 2 times"):
        fetch.run()


def test_without_any_checksum_size_and_version_are_what_counts(server: FaultServer, tmp_path: Path) -> None:
    etag = server.put("weights", "m/a.bin", DATA, checksum=False)
    fetch = Fetch(tmp_path, unlisted(DATA, etag, checksum=False))
    fetch.run()
    assert fetch.part.read_bytes() == DATA
    assert {asked.if_match for asked in server.gets()} == {etag}


@pytest.mark.parametrize("stored", [DATA[:-1], DATA + b"x", b""], ids=["shorter", "longer", "empty"])
def test_an_object_of_another_size_is_not_what_was_published(
    server: FaultServer, fetch: Fetch, stored: bytes
) -> None:
    server.put("weights", "m/a.bin", stored)
    with pytest.raises(IntegrityError, match=r"s3://weights/m/a\.bin has"):
        fetch.run()


def test_a_manifest_that_contradicts_itself_is_refused_before_the_first_byte(
    server: FaultServer, fetch: Fetch
) -> None:
    known = fetch.blob
    fetch.blob = Blob(known.name, known.bytes, known.chunks, 1, chunk_bytes=known.chunk_bytes)
    with pytest.raises(IntegrityError, match="contradicts itself"):
        fetch.run()
    assert server.gets() == []
