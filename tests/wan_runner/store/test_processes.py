"""Several processes and one cache: one download for all, whoever is killed; and no reader loses anything."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.wan_runner.store.fault_server import FaultServer, running
from tests.wan_runner.store.fleet import (
    CHUNK_BYTES,
    WORKERS,
    Fetch,
    context,
    evict_for,
    files_of,
    fleet_model,
    read_for,
)
from wan_runner.store.fetch import FetchReceipt

pytestmark = pytest.mark.slow

MIB = 2**20


@pytest.fixture
def server(aws: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    with running() as server:
        aws.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        yield server


def serve(server: FaultServer, seeds: tuple[int, ...], size: int) -> int:
    """Puts the files there; how many bytes they have."""
    for name, data in files_of(seeds, size).items():
        server.put("weights", f"m/{name}", data)
    return size * len(seeds)


def is_whole(root: Path, seeds: tuple[int, ...], size: int) -> bool:
    files = files_of(seeds, size)
    folder = root / "models" / fleet_model(seeds, size).digest
    return all((folder / name).read_bytes() == data for name, data in files.items())


def test_eight_processes_at_once_are_served_every_byte_once(server: FaultServer, tmp_path: Path) -> None:
    seeds, size = (1, 2), 4 * MIB
    total = serve(server, seeds, size)
    server.connection_bytes_per_s = 2 * MIB  # slow enough for all to be there before the first is done
    fetches = [Fetch(tmp_path, seeds, size, os.environ) for _ in range(8)]
    receipts = [fetch.result() for fetch in fetches]
    assert all(isinstance(receipt, FetchReceipt) for receipt in receipts), receipts
    assert server.served() == total
    assert sum(receipt.bytes_from_s3 for receipt in receipts) == total  # type: ignore[union-attr]
    assert sum(receipt.bytes_from_cache for receipt in receipts) == 7 * total  # type: ignore[union-attr]
    assert is_whole(tmp_path, seeds, size)


def test_killed_at_twenty_random_moments_a_fetch_goes_on_where_it_was(
    server: FaultServer, tmp_path: Path
) -> None:
    """Each time: no name without all its bytes, and no more bytes again than were on their way."""
    seeds, size = (3,), 6 * MIB
    total = serve(server, seeds, size)
    server.connection_bytes_per_s = 24 * MIB
    luck = random.Random(6)
    for moment in range(20):
        root, before = tmp_path / str(moment), server.bytes_served
        fetch = Fetch(root, seeds, size, os.environ)
        server.wait_for_bytes(before + luck.randrange(1, total))
        fetch.kill()
        for blob in (root / "blobs").iterdir():
            assert blob.stat().st_size == size
        receipt = Fetch(root, seeds, size, os.environ).result()
        assert isinstance(receipt, FetchReceipt), receipt
        assert is_whole(root, seeds, size)
        again = server.bytes_served - before - total
        assert again <= WORKERS * CHUNK_BYTES
        assert list((root / "ingest").iterdir()) == []


def test_when_who_fetches_is_killed_one_of_those_who_wait_goes_on(
    server: FaultServer, tmp_path: Path
) -> None:
    seeds, size = (4,), 6 * MIB
    total = serve(server, seeds, size)
    server.connection_bytes_per_s = 2 * MIB
    server.serve_at_most = 3 * MIB  # it is not done before it is killed
    first = Fetch(tmp_path, seeds, size, os.environ)
    server.wait_for_bytes(MIB)
    others = [Fetch(tmp_path, seeds, size, os.environ) for _ in range(2)]
    server.wait_for_bytes(3 * MIB)
    first.kill()
    server.connection_bytes_per_s = None
    server.let_flow()
    receipts = [fetch.result() for fetch in others]
    assert sorted(receipt.misses for receipt in receipts) == [0, 1]  # type: ignore[union-attr]
    assert max(receipt.resumed for receipt in receipts) > 0  # type: ignore[union-attr]
    assert server.bytes_served <= total + WORKERS * CHUNK_BYTES
    assert is_whole(tmp_path, seeds, size)


def test_readers_lose_nothing_to_a_process_that_evicts_all_the_time(
    server: FaultServer, tmp_path: Path
) -> None:
    serve(server, (0, 1, 2, 9), CHUNK_BYTES)
    forks = context()

    def start(run: Callable[..., None], number: int) -> tuple[Any, Any]:
        end, other = forks.Pipe(duplex=False)
        process = forks.Process(target=run, args=(dict(os.environ), tmp_path, number, 4.0, other))
        process.start()
        other.close()
        return process, end

    crew = [start(read_for, number) for number in range(3)] + [start(evict_for, 3)]
    said = [end.recv() for _, end in crew]
    for process, _ in crew:
        process.join()
    assert all(isinstance(count, int) and count > 0 for count in said), said
