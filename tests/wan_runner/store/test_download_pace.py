"""How fast a download goes: its workers, its cap, its disk. Asserted is what was done, never how long."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.wan_runner.store.downloads import CHUNK_BYTES, PLACE, Fetch, listed, unlisted
from tests.wan_runner.store.fault_server import FaultServer, Slow
from wan_core.errors import InsufficientDiskSpace, ModelNotFound
from wan_runner.store import crew
from wan_runner.store.blob import Blob
from wan_runner.store.cores import Reading
from wan_runner.store.pace import Bucket, Pace, Search

DATA = os.urandom(64 * CHUNK_BYTES)


@pytest.mark.slow
def test_a_store_that_limits_each_connection_is_met_with_more_of_them(
    server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However busy the cores of whoever runs the tests are."""
    monkeypatch.setattr(crew, "Search", partial(Search, cores=lambda: Reading(0.0, ())))
    server.put("weights", "m/a.bin", DATA)
    server.connection_bytes_per_s = 200_000
    pace = Pace(steps=(1, 4, 16), piece_bytes=CHUNK_BYTES // 4)
    fetch = Fetch(tmp_path, listed(DATA), pace)
    fetch.run()
    assert fetch.part.read_bytes() == DATA
    assert server.most_at_once == 16


@pytest.mark.slow
def test_who_is_idle_takes_half_of_what_a_slow_connection_has_to_do(
    server: FaultServer, tmp_path: Path
) -> None:
    data, chunk = os.urandom(2**24), 2**23
    server.put("weights", "m/a.bin", data)
    server.when(Slow(2e6), covering=0)
    fetch = Fetch(tmp_path, listed(data, chunk), Pace(steps=(2,), piece_bytes=chunk // 8))
    receipt = fetch.run()
    assert fetch.part.read_bytes() == data
    assert receipt.received == len(data)
    slow = next(asked for asked in server.gets() if asked.first == 0)
    assert slow.last is not None
    assert [asked for asked in server.gets() if 0 < (asked.first or 0) <= slow.last]


def test_every_byte_passes_the_cap(server: FaultServer, tmp_path: Path) -> None:
    taken: list[int] = []

    class Counting(Bucket):
        def take(self, count: int, now_s: float) -> float:
            taken.append(count)
            return super().take(count, now_s)

    server.put("weights", "m/a.bin", DATA)
    pace = Pace(max_bytes_per_s=1e9, steps=(4,), piece_bytes=CHUNK_BYTES)
    pace.bucket = Counting(1e9)
    Fetch(tmp_path, listed(DATA), pace).run()
    assert sum(taken) == len(DATA)


def test_a_disk_with_too_little_space_shows_before_the_first_byte(
    server: FaultServer, tmp_path: Path
) -> None:
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(InsufficientDiskSpace, match="more bytes and has"):
        Fetch(tmp_path, Blob("x", 2 * free)).run()
    assert server.asked == []


def test_a_disk_that_fills_up_ends_the_download_which_goes_on_later(
    server: FaultServer, tmp_path: Path
) -> None:
    """The process's file size limit is the disk's end here."""
    server.put("weights", "m/a.bin", DATA)
    fetch = Fetch(tmp_path, listed(DATA))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(DATA) // 2, limit[1]))
    try:
        with pytest.raises(InsufficientDiskSpace, match=str(len(DATA))):
            fetch.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)
    assert fetch.run().received <= len(DATA)
    assert fetch.part.read_bytes() == DATA


@pytest.mark.parametrize("tier", ["manifest", "checksum", "etag"])
def test_an_s3_that_is_not_ours_serves_every_tier(s3: Any, tmp_path: Path, tier: str) -> None:
    s3.put_object(Bucket=PLACE.bucket, Key=PLACE.key, Body=DATA, ChecksumAlgorithm="CRC64NVME")
    etag = s3.head_object(Bucket=PLACE.bucket, Key=PLACE.key)["ETag"]
    blob = listed(DATA) if tier == "manifest" else unlisted(DATA, etag, checksum=tier == "checksum")
    assert blob.tier == tier
    fetch = Fetch(tmp_path, blob)
    assert fetch.run().received == len(DATA)
    assert fetch.part.read_bytes() == DATA


def test_an_object_that_is_not_there_is_named(s3: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"s3://weights/m/a\.bin"):
        Fetch(tmp_path, listed(DATA)).run()
