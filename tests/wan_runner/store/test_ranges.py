"""When to ask again, how long to wait before, and which answers are of the version that was begun with."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.client import HTTPResponse
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.wan_runner.store.certificates import make_authority
from tests.wan_runner.store.downloads import CHUNK_BYTES, PATH, PLACE, Fetch, listed, quick
from tests.wan_runner.store.fault_server import Cut, FaultServer, Replace, Stall, running
from wan_core.errors import AccessDenied, IntegrityError, Interrupted, NetworkError
from wan_runner.store import pace, s3
from wan_runner.store.line import direct
from wan_runner.store.ranges import Source, is_final, persist, retry_after_s

DATA = os.urandom(4 * CHUNK_BYTES + 77)


def refusal(**headers: str) -> NetworkError:
    said = {"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPHeaders": headers}}
    error = NetworkError("no")
    error.__cause__ = ClientError(said, "GetObject")  # type: ignore[arg-type]
    return error


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"retry-after": "7"}, 7.0), ({}, None), ({"retry-after": "soon"}, None), ({"retry-after": "-3"}, None)],
    ids=str,
)
def test_retry_after_in_seconds(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(refusal(**headers)) == seconds


@pytest.mark.parametrize(("ahead_s", "low", "high"), [(30, 20, 30), (-30, 0, 0)], ids=["to come", "past"])
def test_retry_after_as_a_date(ahead_s: int, low: float, high: float) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead_s), usegmt=True)
    seconds = retry_after_s(refusal(**{"retry-after": date}))
    assert seconds is not None
    assert low <= seconds <= high


def test_an_error_without_an_answer_asks_for_no_pause() -> None:
    assert retry_after_s(NetworkError("cut")) is None


def test_a_certificate_that_is_not_trusted_stays_so() -> None:
    deep = NetworkError("tls")
    deep.__cause__ = OSError("wrapped")
    deep.__cause__.__context__ = ssl.SSLCertVerificationError("self-signed")
    assert is_final(deep)
    assert not is_final(NetworkError("cut"))


def test_what_reaches_further_with_each_try_is_never_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "BACK_OFF_S", 0.0)
    tries: list[int] = []

    def attempt() -> None:
        tries.append((len(tries) + 1) * 2**20)
        if len(tries) < 30:
            raise NetworkError("cut")

    persist(attempt, lambda: tries[-1] if tries else 0, threading.Event(), 1e-6, lambda: None)
    assert len(tries) == 30


def test_a_store_that_ignores_conditions_is_seen_through(server: FaultServer, tmp_path: Path) -> None:
    server.put("weights", "m/a.bin", DATA)
    server.knows_conditions = False
    server.when(Replace(os.urandom(len(DATA))), covering=2 * CHUNK_BYTES)
    with pytest.raises(IntegrityError, match="was replaced while it was fetched"):
        Fetch(tmp_path, listed(DATA), quick(workers=1)).run()


def test_a_store_that_does_not_know_ranges_is_refused(server: FaultServer, tmp_path: Path) -> None:
    server.put("weights", "m/a.bin", DATA)
    server.knows_ranges = False
    with pytest.raises(AccessDenied, match="when asked from byte") as caught:
        Fetch(tmp_path, listed(DATA)).run()
    assert "ranges" in caught.value.advice


def test_a_store_that_does_not_know_ranges_may_still_give_all_at_once(server: FaultServer) -> None:
    server.put("weights", "m/a.bin", DATA)
    server.knows_ranges = False
    with Source(s3.connect(attempts=1), PLACE, len(DATA), None).ask(0, len(DATA)) as body:
        assert body.read() == DATA


def test_bytes_go_from_the_connection_into_the_buffer_without_a_copy_in_between(server: FaultServer) -> None:
    server.put("weights", "m/a.bin", DATA)
    body = Source(s3.connect(attempts=1), PLACE, len(DATA), None).ask(0, len(DATA))
    with body as response:
        assert isinstance(direct(body, response), HTTPResponse)


def test_a_name_that_does_not_resolve_is_a_network_error_once_patience_is_over(
    aws: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    aws.setenv("AWS_ENDPOINT_URL_S3", "http://no-such-host.invalid:9000")
    with pytest.raises(NetworkError, match=r"does not resolve.*gained nothing"):
        Fetch(tmp_path, listed(DATA), quick(patience_s=0.1)).run()


@pytest.fixture
def tls_server(aws: pytest.MonkeyPatch, server: FaultServer, tmp_path: Path) -> Iterator[FaultServer]:
    authority = make_authority(tmp_path, "authority")
    with running(authority.sign(tmp_path, "127.0.0.1")) as secure:
        secure.put("weights", "m/a.bin", DATA)
        aws.setenv("AWS_ENDPOINT_URL_S3", secure.endpoint)
        aws.setenv("AWS_CA_BUNDLE", str(authority.file))
        yield secure


def test_bytes_come_over_tls(tls_server: FaultServer, tmp_path: Path) -> None:
    tls_server.when(Cut(after=1000), times=3)
    fetch = Fetch(tmp_path, listed(DATA))
    assert fetch.run().retries == 3
    assert fetch.part.read_bytes() == DATA


def test_stopping_over_tls_does_not_wait_for_the_server(tls_server: FaultServer, tmp_path: Path) -> None:
    tls_server.when(Stall(after=10), times=None)
    fetch = Fetch(tmp_path, listed(DATA))
    threading.Timer(0.5, fetch.cancel.set).start()
    with pytest.raises(Interrupted):
        fetch.run()
    assert not [thread for thread in threading.enumerate() if thread.name == "fetch"]


def test_a_server_that_is_not_trusted_is_refused_without_trying_again(
    tls_server: FaultServer, aws: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    aws.delenv("AWS_CA_BUNDLE")
    with pytest.raises(NetworkError, match="certificate"):
        Fetch(tmp_path, listed(DATA)).run()
    assert tls_server.objects[PATH]
    assert tls_server.asked == []
