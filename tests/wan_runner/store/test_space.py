"""Room is promised before the first byte: who is refused, what is evicted, what others' promises count."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.wan_runner.store.caches import (
    ROOMY,
    blob_of,
    model_of,
    never,
    open_roomy,
    silent,
    source_of,
    tensors_of,
)
from wan_core.errors import InsufficientDiskSpace
from wan_runner.store.cache import Cache
from wan_runner.store.fetch import FetchReceipt, kept
from wan_runner.store.leases import leased
from wan_runner.store.limits import CacheLimits
from wan_runner.store.space import Shortfall, Usage, find_shortfall, reserved

ON_DISK = 16384  # what a blob takes in blocks of 4 KiB
PROMISE = """
import sys, json
from pathlib import Path
from threading import Event
from wan_runner.store.cache import open_cache
from wan_runner.store.space import reserved
with reserved(open_cache(Path(sys.argv[1])), json.loads(sys.argv[2]), Event()):
    print("promised", flush=True)
    sys.stdin.read()
"""


class Disk(NamedTuple):
    """What shutil.disk_usage says."""

    total: int
    used: int
    free: int


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return open_roomy(tmp_path)


def put(cache: Cache, seed: int) -> FetchReceipt:
    files = {"a.safetensors": tensors_of(seed)}
    with kept(cache, model_of(files), source_of(files), never(), silent) as fetched:
        return fetched.receipt


@pytest.mark.parametrize(
    ("usage", "limits", "short"),
    [
        pytest.param(Usage(50, 50, 0, 20), CacheLimits(), Shortfall(0, 0), id="below the high mark"),
        pytest.param(Usage(70, 30, 0, 20), CacheLimits(), Shortfall(0, 20), id="down to the low mark"),
        pytest.param(Usage(90, 10, 0, 30), CacheLimits(), Shortfall(20, 50), id="must, or it does not fit"),
        pytest.param(Usage(90, 10, 0, 30), CacheLimits(1, 1), Shortfall(20, 20), id="no marks"),
        pytest.param(
            Usage(10, 90, 8, 4), CacheLimits(max_bytes=10), Shortfall(2, 4), id="the cache's own limit"
        ),
        pytest.param(Usage(10, 90, 6, 4), CacheLimits(max_bytes=10), Shortfall(0, 0), id="just the limit"),
        pytest.param(Usage(90, 10, 0, 0), CacheLimits(), Shortfall(0, 20), id="full, nothing promised"),
    ],
)
def test_what_to_evict_follows_from_marks_and_limits(
    usage: Usage, limits: CacheLimits, short: Shortfall
) -> None:
    assert find_shortfall(usage, limits) == short


def test_a_model_larger_than_the_disk_is_refused_with_all_numbers_and_nothing_is_evicted(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cache, 1)
    put(cache, 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Disk(10 * 2**30, 9 * 2**30, 2**30))
    used = leased(cache.leases, [blob_of(tensors_of(1)).name], never())
    with used, pytest.raises(InsufficientDiskSpace) as caught, reserved(cache, {"a": 3 * 2**30}, never()):
        pytest.fail("there is no such room")
    assert caught.value.message == (
        f"{cache.root} needs {3 * 2**30} bytes (3.00 GiB) more and has {2**30} bytes (1.00 GiB); "
        f"{ON_DISK} bytes (0.00 GiB) could be evicted, {ON_DISK} bytes (0.00 GiB) are in use"
    )
    assert "wan weights gc" in caught.value.advice
    assert len(list(cache.blobs.iterdir())) == 2


def test_the_cache_stays_below_its_own_limit_by_evicting(tmp_path: Path) -> None:
    cache = open_roomy(tmp_path, WAN_CACHE_MAX_BYTES=str(2 * ON_DISK))
    put(cache, 1)
    put(cache, 2)
    receipt = put(cache, 3)
    assert (receipt.evicted_blobs, receipt.evicted_bytes) == (1, ON_DISK)
    assert {path.name for path in cache.blobs.iterdir()} == {blob_of(tensors_of(n)).name for n in (2, 3)}


def test_a_model_above_the_caches_own_limit_is_refused_by_its_name(tmp_path: Path) -> None:
    cache = open_roomy(tmp_path, WAN_CACHE_MAX_BYTES="5000")
    with pytest.raises(InsufficientDiskSpace, match=r"below WAN_CACHE_MAX_BYTES, 5000 bytes"):
        put(cache, 1)
    assert list(cache.blobs.iterdir()) == list(cache.ingest.iterdir()) == []


def test_a_low_mark_leaves_room_for_more_than_is_fetched(tmp_path: Path) -> None:
    settings = {"WAN_CACHE_MAX_BYTES": str(4 * ON_DISK), "WAN_CACHE_LOW_PERCENT": "50"}
    cache = open_roomy(tmp_path, **settings)
    for seed in range(4):
        put(cache, seed)
    assert put(cache, 4).evicted_blobs == 3


def test_what_another_process_was_promised_is_taken_and_free_when_it_dies(tmp_path: Path) -> None:
    """The limit is for three; another living process is about to fetch two of them."""
    cache = open_roomy(tmp_path, WAN_CACHE_MAX_BYTES=str(3 * ON_DISK))
    command = [sys.executable, "-c", PROMISE, str(tmp_path), f'{{"x": {ON_DISK}, "y": {ON_DISK}}}']
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "promised\n"
        with reserved(cache, {"x": ON_DISK, "z": ON_DISK}, never()):  # x is the same for both
            pass
        with (
            pytest.raises(InsufficientDiskSpace, match=f"needs {4 * ON_DISK} bytes"),
            reserved(cache, {"z": ON_DISK, "w": ON_DISK}, never()),
        ):
            pytest.fail("that room was promised to another")
        other.kill()
    with reserved(cache, {"z": ON_DISK, "w": ON_DISK}, never()):
        assert len(list(cache.reserved.iterdir())) == 1
    assert list(cache.reserved.iterdir()) == []


def test_blocks_that_a_running_fetch_has_taken_are_not_counted_twice(tmp_path: Path) -> None:
    cache = open_roomy(tmp_path, WAN_CACHE_MAX_BYTES=str(2 * ON_DISK))
    (cache.ingest / "x.part").write_bytes(b"\1" * ON_DISK)
    with reserved(cache, {"x": ON_DISK, "y": ON_DISK}, never()):
        pass


def test_others_who_fill_the_disk_past_the_high_mark_do_not_end_fetching(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = open_roomy(tmp_path, **(ROOMY | {"WAN_CACHE_HIGH_PERCENT": "80", "WAN_CACHE_LOW_PERCENT": "70"}))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Disk(2**40, 2**40 - 2**30, 2**30))
    assert put(cache, 1).evicted_blobs == 0
    assert put(cache, 2).evicted_blobs == 1
    assert "stays fuller than WAN_CACHE_HIGH_PERCENT allows" in caplog.text
