"""What goes when room is needed, in which order, and what never does."""

from __future__ import annotations

import os
from pathlib import Path

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
from wan_runner.store.cache import Cache, mark_used, put_away
from wan_runner.store.evict import Evicted, evict, evict_one, find_candidates
from wan_runner.store.fetch import kept
from wan_runner.store.leases import leased, locked
from wan_runner.store.tree import Model

ON_DISK = 16384  # what a blob of these tests takes, in blocks of 4 KiB
EVERYTHING = 2**60


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return open_roomy(tmp_path)


def put(cache: Cache, *seeds: int, shared: bool = False, used: int | None = None) -> Model:
    """A model in the cache with the weights of each seed; `used` is when, in seconds since 1970."""
    files = {f"{seed}.safetensors": tensors_of(seed) for seed in seeds}
    if shared:
        files["shared.safetensors"] = tensors_of(99)
    model = model_of(files)
    with kept(cache, model, source_of(files), never(), silent):
        pass
    for blob in model.distinct() if used is not None else ():
        os.utime(cache.used / blob.name, (used, used))  # type: ignore[arg-type]
    return model


def name(seed: int) -> str:
    return blob_of(tensors_of(seed)).name


def names(cache: Cache) -> set[str]:
    return {path.name for path in cache.blobs.iterdir()}


def test_the_longest_unused_goes_first_and_no_more_than_is_needed(cache: Cache) -> None:
    put(cache, 1, used=3000)
    put(cache, 2, used=1000)
    put(cache, 3, used=2000)
    evicted = evict(cache, ON_DISK + 1)
    assert evicted == Evicted((name(2), name(3)), 2 * ON_DISK)
    assert names(cache) == {name(1)}


def test_a_models_folder_goes_with_its_first_blob_and_others_stay(cache: Cache) -> None:
    old = put(cache, 1, shared=True, used=1000)
    young = put(cache, 2, shared=True, used=2000)
    evict(cache, 1)
    assert not (cache.models / old.digest).exists()
    assert (cache.models / young.digest / "shared.safetensors").read_bytes() == tensors_of(99)


def test_nothing_of_an_evicted_blob_stays(cache: Cache) -> None:
    put(cache, 1)
    evict(cache, EVERYTHING)
    left = [folder.name for folder in cache.root.iterdir() if folder.is_dir() and any(folder.iterdir())]
    assert left == []


def test_what_is_in_use_stays_however_much_is_wanted(cache: Cache) -> None:
    put(cache, 1, used=1000)
    put(cache, 2, used=2000)
    with leased(cache.leases, [name(1)], never()):
        assert evict(cache, EVERYTHING).names == (name(2),)
    assert evict(cache, EVERYTHING).names == (name(1),)


def test_what_was_used_since_it_was_chosen_stays(cache: Cache) -> None:
    put(cache, 1, used=1000)
    chosen = find_candidates(cache)
    with leased(cache.leases, [name(1)], never()):
        mark_used(cache, name(1))
    assert [evict_one(cache, candidate) for candidate in chosen] == [Evicted()]
    assert names(cache) == {name(1)}


def test_what_was_evicted_by_another_meanwhile_counts_for_nothing(cache: Cache) -> None:
    put(cache, 1)
    chosen = find_candidates(cache)
    evict(cache, EVERYTHING)
    assert [evict_one(cache, candidate) for candidate in chosen] == [Evicted()]
    assert list(cache.blobs.iterdir()) == []


def test_partial_files_go_by_age_unless_somebody_fetches_or_is_about_to(cache: Cache) -> None:
    for part in ("held", "wanted", "dead"):
        (cache.ingest / f"{part}.part").write_bytes(b"x" * 10_000)
        (cache.ingest / f"{part}.journal").touch()
    with locked(cache.ingest / "held.part", never(), "fetching"):
        assert evict(cache, EVERYTHING, keep=["wanted"]).names == ("dead.part",)
    assert {path.name for path in cache.ingest.iterdir()} == {
        f"{part}.{kind}" for part in ("held", "wanted") for kind in ("part", "journal")
    }


def test_bytes_in_quarantine_go_first_and_the_reason_stays(cache: Cache) -> None:
    put(cache, 1, used=1000)
    put(cache, 2, used=2000)
    put_away(cache, name(2), "wrong")
    assert evict(cache, 1).names == (name(2),)
    assert [path.name for path in cache.quarantine.iterdir()] == [f"{name(2)}.reason"]


def test_a_folder_where_a_blob_should_be_is_no_blob_and_gives_way_to_one(cache: Cache) -> None:
    odd = cache.blobs / name(1)
    odd.mkdir()
    (odd / "note").write_text("not ours")
    assert evict(cache, EVERYTHING).names == ()
    put(cache, 1)
    assert odd.read_bytes() == tensors_of(1)
    assert name(1) in evict(cache, EVERYTHING).names
    assert [path.name for path in cache.quarantine.iterdir()] == [f"{name(1)}.reason"]


def test_derived_values_are_evicted_like_blobs(cache: Cache) -> None:
    cache.prepared.mkdir()
    value = cache.prepared / ("a" * 64)
    value.write_bytes(b"x" * 5000)
    os.utime(value, (1000, 1000))
    put(cache, 1, used=2000)
    assert evict(cache, 1).names == ("a" * 64,)


def test_a_model_that_was_evicted_is_fetched_again(cache: Cache) -> None:
    files = {"a.safetensors": tensors_of(1)}
    put(cache, 1)
    evict(cache, EVERYTHING)
    with kept(cache, model_of(files), source_of(files), never(), silent) as fetched:
        assert (fetched.path / "a.safetensors").read_bytes() == tensors_of(1)
