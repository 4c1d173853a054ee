"""Downloads that stop and go on: told to, killed, or because the object became another."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.wan_runner.store.downloads import CHUNK_BYTES, PATH, Fetch, listed, quick, unlisted
from tests.wan_runner.store.fault_server import Answer, FaultServer, Flip, Replace, Stall
from wan_core.errors import IntegrityError, Interrupted
from wan_runner.store.pace import Pace

DATA = os.urandom(20 * CHUNK_BYTES + 12_345)
OTHER = os.urandom(len(DATA))
WORKERS = 4


@pytest.fixture
def fetch(tmp_path: Path, server: FaultServer) -> Fetch:
    server.put("weights", "m/a.bin", DATA)
    return Fetch(tmp_path, listed(DATA))


def interrupt(server: FaultServer, fetch: Fetch, after_bytes: int) -> int:
    """Cancels `fetch` when the server has served so many bytes, and returns how many there were."""
    before = server.bytes_served
    server.serve_at_most = before + after_bytes
    canceller = threading.Thread(
        target=lambda: (server.wait_for_bytes(before + after_bytes), fetch.cancel.set())
    )
    canceller.start()
    with pytest.raises(Interrupted, match=r"s3://weights/m/a\.bin"):
        fetch.run()
    canceller.join()
    server.let_flow()
    fetch.cancel.clear()
    return server.bytes_served - before


def test_what_was_fetched_before_it_was_told_to_stop_is_not_fetched_again(
    server: FaultServer, fetch: Fetch
) -> None:
    served = interrupt(server, fetch, len(DATA) // 2)
    receipt = fetch.run()
    assert fetch.part.read_bytes() == DATA
    assert receipt.resumed + receipt.received == len(DATA)
    assert receipt.resumed >= served - WORKERS * CHUNK_BYTES


def test_it_may_be_told_to_stop_any_number_of_times(server: FaultServer, fetch: Fetch) -> None:
    for _ in range(4):
        interrupt(server, fetch, 3 * CHUNK_BYTES)
    fetch.run()
    assert fetch.part.read_bytes() == DATA


@pytest.mark.parametrize(
    "fault", [Stall(after=10), Stall(after=0), Answer(503, "SlowDown", retry_after=50)], ids=str
)
def test_stopping_does_not_wait_for_the_server(
    server: FaultServer, fetch: Fetch, fault: Stall | Answer
) -> None:
    server.when(fault, times=None)
    threading.Timer(0.3, fetch.cancel.set).start()
    with pytest.raises(Interrupted):
        fetch.run()
    assert not [thread for thread in threading.enumerate() if thread.name == "fetch"]


def test_a_request_that_was_told_to_stop_before_it_began_asks_for_nothing(
    server: FaultServer, fetch: Fetch
) -> None:
    fetch.cancel.set()
    with pytest.raises(Interrupted):
        fetch.run()
    assert server.gets() == []


def test_a_stop_while_claims_are_checked_loses_none_of_them(server: FaultServer, fetch: Fetch) -> None:
    served = interrupt(server, fetch, len(DATA) // 2)
    fetch.cancel.set()
    with pytest.raises(Interrupted):
        fetch.run()
    fetch.cancel.clear()
    assert fetch.run().resumed >= served - WORKERS * CHUNK_BYTES


def test_only_claims_that_the_bytes_bear_out_count(server: FaultServer, fetch: Fetch) -> None:
    fetch.run()
    with fetch.part.open("rb+") as file:
        file.seek(5 * CHUNK_BYTES + 3)
        file.write(b"\0" * 8)
    receipt = fetch.run()
    assert fetch.part.read_bytes() == DATA
    assert 0 < receipt.received <= CHUNK_BYTES


def test_a_journal_of_other_bytes_counts_for_nothing(server: FaultServer, fetch: Fetch) -> None:
    fetch.run()
    server.put("weights", "m/a.bin", OTHER)
    fetch.blob = listed(OTHER)
    assert fetch.run().resumed == 0
    assert fetch.part.read_bytes() == OTHER


def test_wrong_bytes_of_the_last_try_are_not_taken_for_right_ones(server: FaultServer, fetch: Fetch) -> None:
    """The journal says truly what lies in the file; whether it is right, the manifest says."""
    server.when(Flip(7), covering=7, times=2)
    with pytest.raises(IntegrityError):
        fetch.run()
    fetch.run()
    assert fetch.part.read_bytes() == DATA


def test_a_file_that_is_too_long_is_cut(server: FaultServer, fetch: Fetch) -> None:
    fetch.part.write_bytes(b"x" * (len(DATA) + 100))
    fetch.run()
    assert fetch.part.read_bytes() == DATA


def test_an_object_replaced_by_the_same_bytes_is_begun_once_more(server: FaultServer, fetch: Fetch) -> None:
    fetch.pace = quick(workers=1)
    server.when(Replace(DATA, etag='"second"'), covering=9 * CHUNK_BYTES)
    receipt = fetch.run()
    assert fetch.part.read_bytes() == DATA
    assert receipt.received == len(DATA)  # what was verified before is kept


def test_an_object_that_is_replaced_again_and_again_is_an_integrity_error(
    server: FaultServer, fetch: Fetch
) -> None:
    fetch.pace = quick(workers=1)
    server.when(Replace(DATA, etag='"second"'), covering=9 * CHUNK_BYTES)
    server.when(Replace(DATA, etag='"third"'), covering=12 * CHUNK_BYTES)
    with pytest.raises(IntegrityError, match="was replaced while it was fetched"):
        fetch.run()


@pytest.mark.parametrize("checksum", [True, False], ids=["with a checksum", "without a checksum"])
def test_an_object_replaced_by_other_bytes_is_an_integrity_error(
    server: FaultServer, fetch: Fetch, checksum: bool
) -> None:
    fetch.pace = quick(workers=1)
    server.when(Replace(OTHER, checksum=checksum), covering=9 * CHUNK_BYTES)
    with pytest.raises(IntegrityError, match="was replaced while it was fetched") as caught:
        fetch.run()
    assert not caught.value.row.retryable


def test_without_a_manifest_the_version_that_was_listed_is_meant(server: FaultServer, fetch: Fetch) -> None:
    fetch.blob = unlisted(DATA, server.objects[PATH].etag, checksum=False)
    server.put("weights", "m/a.bin", OTHER)
    with pytest.raises(IntegrityError, match="was replaced while it was fetched"):
        fetch.run()


RUN = """
import sys
from pathlib import Path
from tests.wan_runner.store.downloads import Fetch, listed, quick
Fetch(Path(sys.argv[1]), listed(Path(sys.argv[2]).read_bytes())).run()
"""


@pytest.mark.slow
def test_killed_at_twenty_moments_it_goes_on_each_time_and_fetches_little_twice(
    server: FaultServer, fetch: Fetch
) -> None:
    """A real process, SIGKILL while bytes flow; the bound of each kill is what was open: workers x chunk."""
    data, source = os.urandom(128 * CHUNK_BYTES), fetch.folder / "source"
    source.write_bytes(data)
    server.put("weights", "m/a.bin", data)
    fetch.blob = listed(data)
    server.connection_bytes_per_s = 2_000_000
    chance = random.Random(6)
    for _ in range(20):
        stop_at = server.bytes_served + chance.randrange(1, 6 * CHUNK_BYTES)
        server.serve_at_most = stop_at + CHUNK_BYTES  # bytes still flow when it is killed
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(fetch.folder), str(source)], env={**os.environ, "PYTHONPATH": "."}
        )
        server.wait_for_bytes(stop_at)
        process.send_signal(signal.SIGKILL)
        process.wait()
    server.connection_bytes_per_s = None
    server.let_flow()
    receipt = fetch.run()
    assert fetch.part.read_bytes() == data
    assert receipt.resumed > 0
    assert server.bytes_served <= len(data) + 20 * WORKERS * CHUNK_BYTES


def test_a_connection_slower_than_the_floor_is_replaced_and_goes_on_from_the_byte_reached(
    server: FaultServer, fetch: Fetch
) -> None:
    fetch.pace = Pace(steps=(WORKERS,), stall_bytes_per_s=1000, stall_window_s=2.0, piece_bytes=CHUNK_BYTES)
    server.when(Stall(after=5000), times=2)
    receipt = fetch.run()
    assert fetch.part.read_bytes() == DATA
    assert receipt.retries == 2
    assert receipt.received == len(DATA)
