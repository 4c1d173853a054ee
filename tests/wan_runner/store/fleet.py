"""Processes that fetch from one S3 into one cache, as pods of a node do; they can be killed at any moment.

They are forked from a server that has imported everything, so that each begins at once.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from threading import Event

from tests.wan_runner.store.caches import ROOMY, blob_of, model_of, open_roomy, silent
from wan_core.errors import WanError
from wan_runner.store.evict import evict
from wan_runner.store.fetch import FetchReceipt, kept
from wan_runner.store.leases import locked
from wan_runner.store.origin import open_origin
from wan_runner.store.tree import Model

CHUNK_BYTES = 2**20
WORKERS = 2
EVERYTHING = 2**60


@cache
def files_of(seeds: tuple[int, ...], size: int) -> dict[str, bytes]:
    """One file of random bytes for each seed."""
    return {f"{seed}.txt": random.Random(seed).randbytes(size) for seed in seeds}


@cache
def fleet_model(seeds: tuple[int, ...], size: int) -> Model:
    return model_of(files_of(seeds, size), chunk_bytes=CHUNK_BYTES)


def context() -> ForkServerContext:
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload([__name__])
    return forks


@contextmanager
def settings_of(environ: Mapping[str, str]) -> Iterator[None]:
    """The environment of one process of the fleet."""
    os.environ.update(environ, WAN_FETCH_WORKERS=str(WORKERS), **ROOMY)
    yield


def fetch_once(
    environ: Mapping[str, str], root: Path, seeds: tuple[int, ...], size: int, end: Connection
) -> None:
    """Fetches the model, reads it, and sends the receipt, or the error."""
    cancel = Event()
    with settings_of(environ):
        model = fleet_model(seeds, size)
        try:
            with kept(open_roomy(root), model, open_origin(cancel), cancel, silent) as fetched:
                for path, blob in model.files.items():
                    assert blob_of((fetched.path / path).read_bytes(), CHUNK_BYTES) == blob
                end.send(fetched.receipt)
        except WanError as error:
            end.send(error.message)


class Fetch:
    """A process that fetches."""

    def __init__(self, root: Path, seeds: tuple[int, ...], size: int, environ: Mapping[str, str]) -> None:
        forks = context()
        self._end, other = forks.Pipe(duplex=False)
        self.process: ForkServerProcess = forks.Process(
            target=fetch_once, args=(dict(environ), root, seeds, size, other)
        )
        self.process.start()
        other.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def result(self) -> FetchReceipt | str:
        """What it sent. EOFError if it died before."""
        receipt: FetchReceipt | str = self._end.recv()
        self.process.join()
        return receipt


def read_for(environ: Mapping[str, str], root: Path, number: int, seconds: float, end: Connection) -> None:
    """Fetches and reads models by chance, once at least, until the time is over; sends how often, or what was
    wrong.
    """
    luck, deadline, count = random.Random(number), time.monotonic() + seconds, 0
    cancel = Event()
    with settings_of(environ):
        cache, origin = open_roomy(root), open_origin(cancel)
        try:
            while time.monotonic() < deadline or not count:
                model = fleet_model((luck.randrange(3), 9), CHUNK_BYTES)
                with kept(cache, model, origin, cancel, silent) as fetched:
                    for path, blob in model.files.items():
                        if blob_of((fetched.path / path).read_bytes(), CHUNK_BYTES) != blob:
                            raise AssertionError(f"{path} has other bytes")
                count += 1
            end.send(count)
        except (WanError, OSError, AssertionError) as error:
            end.send(f"{type(error).__name__}: {error}")


def evict_for(environ: Mapping[str, str], root: Path, number: int, seconds: float, end: Connection) -> None:
    """Evicts all that it may, again and again; sends how many blobs went."""
    cache, deadline, count = open_roomy(root), time.monotonic() + seconds, 0
    while time.monotonic() < deadline or not count:
        with locked(cache.gc_lock, Event(), "evicting"):
            count += len(evict(cache, EVERYTHING).names)
    end.send(count)
