"""A model in the cache: what is fetched, what is kept, what is shared, and what it costs."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.wan_runner.store.caches import (
    CHUNK,
    Source,
    blob_of,
    model_of,
    never,
    open_roomy,
    silent,
    source_of,
    tensors_of,
)
from wan_core.errors import IntegrityError, TrustRemoteCode, WanError
from wan_core.phases import Phase
from wan_runner.store.cache import Cache
from wan_runner.store.fetch import FetchReceipt, kept
from wan_runner.store.leases import is_leased
from wan_runner.store.tree import MARK, Model

WEIGHTS = "transformer/model.safetensors"
FILES = {"model_index.json": b"{}", "transformer/config.json": b'{"a": 1}', WEIGHTS: tensors_of(0)}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return open_roomy(tmp_path / "cache")


def get(cache: Cache, model: Model, source: Source) -> FetchReceipt:
    """Fetches and lets go at once."""
    with kept(cache, model, source, never(), silent) as fetched:
        return fetched.receipt


def test_a_model_arrives_as_the_folder_that_it_was(cache: Cache) -> None:
    model = model_of(FILES)
    with kept(cache, model, source_of(FILES), never(), silent) as fetched:
        assert {name: (fetched.path / name).read_bytes() for name in FILES} == FILES
        total = sum(map(len, FILES.values()))
        assert fetched.receipt == FetchReceipt(
            bytes_from_s3=total, misses=3, seconds_waited=fetched.receipt.seconds_waited
        )
        assert (fetched.digest, fetched.path.name) == (model.digest, model.digest)


def test_blobs_have_their_digests_for_names_and_are_read_only(cache: Cache) -> None:
    get(cache, model_of(FILES), source_of(FILES))
    blobs = list(cache.blobs.iterdir())
    assert {blob.name for blob in blobs} == {blob_of(data).name for data in FILES.values()}
    assert {stat.S_IMODE(blob.stat().st_mode) for blob in blobs} == {0o444}
    assert list(cache.ingest.iterdir()) == []


def test_a_second_fetch_serves_nothing_and_counts_hits(cache: Cache) -> None:
    model, source = model_of(FILES), source_of(FILES)
    get(cache, model, source)
    served = source.served
    receipt = get(cache, model, source)
    assert source.served == served
    assert receipt == FetchReceipt(bytes_from_cache=served, hits=3)


def test_two_models_share_a_text_encoder(cache: Cache) -> None:
    encoder = {"text_encoder/model.safetensors": tensors_of(9)}
    first, second = FILES | encoder, {WEIGHTS: tensors_of(1)} | encoder
    get(cache, model_of(first), source_of(first))
    source = source_of(second)
    receipt = get(cache, model_of(second), source)
    assert (receipt.hits, receipt.misses) == (1, 1)
    assert source.served == len(tensors_of(1))


def test_one_content_under_two_names_is_one_blob(cache: Cache) -> None:
    files = FILES | {"vae/config.json": FILES["transformer/config.json"]}
    source = source_of(files)
    with kept(cache, model_of(files), source, never(), silent) as fetched:
        assert (fetched.path / "vae/config.json").read_bytes() == files["vae/config.json"]
    assert source.served == sum(map(len, FILES.values()))


def test_the_folder_can_move_with_its_cache(cache: Cache, tmp_path: Path) -> None:
    model = model_of(FILES)
    get(cache, model, source_of(FILES))
    cache.root.rename(tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere/models" / model.digest / WEIGHTS).read_bytes() == FILES[WEIGHTS]


def test_the_phases_are_told_in_order_and_count_what_is_cached_from_the_start(cache: Cache) -> None:
    get(cache, model_of({WEIGHTS: FILES[WEIGHTS]}), source_of(FILES))
    told: list[tuple[Phase, int, int]] = []
    with kept(cache, model_of(FILES), source_of(FILES), never(), lambda *what: told.append(what)):
        pass
    total = sum(map(len, FILES.values()))
    assert told[:4] == [(Phase.CACHE_CHECK, n, 3) for n in range(4)]
    done = [done for phase, done, _ in told[4:]]
    assert {(phase, whole) for phase, _, whole in told[4:]} == {(Phase.DOWNLOAD, total)}
    assert done == sorted(done)
    assert (done[0], done[-1]) == (len(FILES[WEIGHTS]), total)


def test_leases_are_held_as_long_as_the_model_is_used(cache: Cache) -> None:
    model = model_of(FILES)
    names = [blob.name for blob in model.distinct()]
    with kept(cache, model, source_of(FILES), never(), silent):
        assert all(is_leased(cache.leases, name) for name in names)
    assert not any(is_leased(cache.leases, name) for name in names)


def test_a_failure_while_the_model_is_used_frees_it(cache: Cache) -> None:
    model = model_of(FILES)
    with pytest.raises(MemoryError), kept(cache, model, source_of(FILES), never(), silent):
        raise MemoryError
    assert not any(is_leased(cache.leases, blob.name) for blob in model.distinct())


@pytest.mark.parametrize("lost", [MARK, "model_index.json", WEIGHTS])
def test_a_folder_that_lost_a_file_is_made_again(cache: Cache, lost: str) -> None:
    model, source = model_of(FILES), source_of(FILES)
    get(cache, model, source)
    (cache.models / model.digest / lost).unlink()
    with kept(cache, model, source, never(), silent) as fetched:
        assert {name: (fetched.path / name).read_bytes() for name in FILES} == FILES
        assert fetched.receipt.misses == 0


def test_a_blob_of_another_size_goes_to_quarantine_and_is_fetched_once_more(cache: Cache) -> None:
    model, source = model_of(FILES), source_of(FILES)
    get(cache, model, source)
    blob = cache.blobs / blob_of(FILES[WEIGHTS]).name
    blob.unlink()
    blob.write_bytes(b"half")
    receipt = get(cache, model, source)
    assert (receipt.misses, receipt.bytes_from_s3) == (1, len(FILES[WEIGHTS]))
    assert blob.read_bytes() == FILES[WEIGHTS]
    assert (cache.quarantine / blob.name).read_bytes() == b"half"
    reason = (cache.quarantine / f"{blob.name}.reason").read_text()
    assert reason == f"it has 4 bytes instead of {len(FILES[WEIGHTS])}\n"


@pytest.mark.parametrize(
    ("files", "error", "said"),
    [
        pytest.param(
            {"config.json": b'{"auto_map": {"A": "b.C"}}'}, TrustRemoteCode, "auto_map", id="auto_map"
        ),
        pytest.param(
            {"a.safetensors": b"\x80\x04pickled"}, IntegrityError, "a.safetensors", id="pickle inside"
        ),
        pytest.param(
            {"a.safetensors": tensors_of(0)[:-1]}, IntegrityError, "tensor 'w' lies at", id="cut tensor"
        ),
    ],
)
def test_contents_that_do_not_belong_in_a_model_never_become_one(
    cache: Cache, files: dict[str, bytes], error: type[WanError], said: str
) -> None:
    with pytest.raises(error, match=said):
        get(cache, model_of(files), source_of(files))
    assert list(cache.models.iterdir()) == []


def test_a_full_hit_opens_no_blob_and_writes_no_byte(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    model, source = model_of(FILES), source_of(FILES)
    get(cache, model, source)
    for name in ("write", "pwrite", "fsync", "rename", "replace", "symlink", "preadv", "pread", "read"):
        monkeypatch.delattr(os, name)
    atime = (cache.blobs / blob_of(FILES[WEIGHTS]).name).stat().st_atime_ns
    assert get(cache, model, source).misses == 0
    assert (cache.blobs / blob_of(FILES[WEIGHTS]).name).stat().st_atime_ns == atime


def test_where_locks_cannot_be_trusted_everybody_fetches_and_the_rename_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two fetch at once: one begins while the other's file is half there; neither sees the other's."""
    from wan_runner.store import filesystem

    mounts = tmp_path / "mountinfo"
    mounts.write_text("22 1 0:26 / / rw - nfs4 server:/export rw\n")
    monkeypatch.setattr(filesystem, "MOUNTS", mounts)
    cache = open_roomy(tmp_path / "cache")
    assert not cache.has_locks
    assert "is on nfs4, where locks cannot be trusted" in caplog.text
    files = {WEIGHTS: FILES[WEIGHTS]}
    other, mine = source_of(files), source_of(files)
    seen: list[int] = []

    def meanwhile(phase: Phase, done: int, total: int) -> None:
        if done == CHUNK and not seen:
            seen.append(len(list(cache.ingest.glob("*.part"))))
            get(cache, model_of(files), other)

    with kept(cache, model_of(files), mine, never(), meanwhile) as fetched:
        assert (fetched.path / WEIGHTS).read_bytes() == FILES[WEIGHTS]
    assert (seen, other.served, mine.served) == ([1], len(FILES[WEIGHTS]), len(FILES[WEIGHTS]))
    assert list(cache.ingest.iterdir()) == []
