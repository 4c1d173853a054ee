"""A power cut at any moment of publishing: no name ever stands for bytes that are not all there."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest

from tests.wan_runner.store.caches import (
    blob_of,
    model_of,
    never,
    open_roomy,
    silent,
    source_of,
    tensors_of,
)
from tests.wan_runner.store.power_cuts import Record, recording
from wan_runner.store import cache as cache_module
from wan_runner.store.cache import FOLDERS, Cache, is_cached
from wan_runner.store.evict import evict
from wan_runner.store.fetch import kept
from wan_runner.store.tree import Model, is_whole

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names of open files are read in /proc")

FILES = {"model_index.json": b"{}", "transformer/w.safetensors": tensors_of(1)}
MODEL = model_of(FILES)
UNFLUSHED = patch.object(os, "fsync", lambda handle: None)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, if there is such a place: a thousand disks are written."""
    shared = Path("/dev/shm")
    with TemporaryDirectory(prefix="wan-power-", dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


def record_fetching(folder: Path) -> Record:
    cache = open_roomy(folder)
    with recording(folder) as record, kept(cache, MODEL, source_of(FILES), never(), silent):
        pass
    return record


def record_evicting(folder: Path) -> Record:
    """Fetched, evicted, and fetched again."""
    cache = open_roomy(folder)
    with recording(folder) as record:
        for wanted in (1, 0):
            with kept(cache, MODEL, source_of(FILES), never(), silent):
                pass
            evict(cache, wanted)
    return record


def first_lie(record: Record, scratch: Path, seeds: int) -> str:
    """The first state of the disk in which the cache says what is not so; empty if there is none.

    Where it says only what is so, a fetch goes on from there.
    """
    for state in record.states(seeds):
        shutil.rmtree(scratch, ignore_errors=True)
        state.write(scratch)
        cache = open_roomy(scratch)
        lie = find_lie(cache, MODEL)
        if lie:
            return f"{lie} after {state.end} operations, seed {state.seed}"
        with UNFLUSHED, kept(cache, MODEL, source_of(FILES), never(), silent) as fetched:
            for name, data in FILES.items():
                assert (fetched.path / name).read_bytes() == data
    return ""


def find_lie(cache: Cache, model: Model) -> str:
    for blob in model.distinct():
        if is_cached(cache, blob) and blob_of((cache.blobs / blob.name).read_bytes()) != blob:
            return f"a wrong blob {blob.name}"
    if is_whole(cache, model):
        for name, blob in model.files.items():
            if blob_of((cache.models / model.digest / name).read_bytes()) != blob:
                return f"a wrong file {name}"
    return ""


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(record_fetching, id="fetched"),
        pytest.param(record_evicting, id="evicted, fetched again", marks=pytest.mark.slow),
    ],
)
def test_after_a_power_cut_at_any_moment_no_wrong_bytes_have_a_name(
    record: Callable[[Path], Record], memory: Path
) -> None:
    recorded = record(memory / "cache")
    assert len(recorded.steps) > len(FOLDERS)
    assert first_lie(recorded, memory / "after", seeds=8) == ""


def test_a_cache_that_forgot_to_flush_would_be_caught(memory: Path) -> None:
    """What the test above is worth."""
    real = cache_module.publish_blob

    def careless(cache: Cache, part: Path, handle: int, name: str) -> None:
        with UNFLUSHED:
            real(cache, part, handle, name)

    with patch("wan_runner.store.ingest.publish_blob", careless):
        recorded = record_fetching(memory / "cache")
    assert "a wrong blob" in first_lie(recorded, memory / "after", seeds=4)
