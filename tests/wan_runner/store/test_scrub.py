"""The cache read again: what is wrong is found, mended by the chunk, or put away."""

from __future__ import annotations

from dataclasses import replace
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
from tests.wan_runner.store.fault_server import running
from wan_core.errors import IntegrityError, Interrupted, NetworkError
from wan_runner.store.cache import Cache
from wan_runner.store.fetch import kept
from wan_runner.store.leases import leased
from wan_runner.store.origin import open_origin
from wan_runner.store.scrub import Finding, Scrubbed, scrub
from wan_runner.store.tree import Model

FILES = {"a.safetensors": tensors_of(1), "b.safetensors": tensors_of(2)}
NAME = blob_of(FILES["a.safetensors"]).name
TOTAL = sum(map(len, FILES.values()))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return open_roomy(tmp_path)


@pytest.fixture
def model(cache: Cache) -> Model:
    model = model_of(FILES)
    with kept(cache, model, source_of(FILES), never(), silent):
        return model


def damage(cache: Cache, at: int) -> None:
    """Flips a byte of the first file's blob."""
    blob = cache.blobs / NAME
    blob.chmod(0o644)
    with blob.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def mending(error: Exception | None = None, *, lies: bool = False) -> Source:
    return Source(*FILES.values(), error=error, lies=lies)


def run(cache: Cache, mender: Source, *, repair: bool = True, only: set[str] | None = None) -> Scrubbed:
    return scrub(cache.root, never(), lambda *count: None, repair=repair, only=only, origin=mender)


def test_a_sound_cache_is_read_whole_and_nothing_is_fetched(cache: Cache, model: Model) -> None:
    told: list[tuple[int, int]] = []
    mender = mending()
    found = scrub(cache.root, never(), lambda *count: told.append(count), origin=mender)
    assert found == Scrubbed(2, TOTAL, (), ())
    assert (told[-1], mender.asked) == ((TOTAL, TOTAL), [])


def test_only_the_bad_chunk_is_fetched_again(cache: Cache, model: Model) -> None:
    damage(cache, CHUNK + 5)
    mender = mending()
    found = run(cache, mender)
    assert found.findings == (Finding(NAME, (1,), "", gone=False),)
    assert mender.asked == [("s3://weights/m/a.safetensors", CHUNK)]
    assert (cache.blobs / NAME).read_bytes() == FILES["a.safetensors"]
    assert list(cache.ingest.iterdir()) == []


def test_of_an_object_the_bad_chunk_alone_is_asked_for(cache: Cache, aws: pytest.MonkeyPatch) -> None:
    data = b"a" * CHUNK + b"b" * CHUNK + b"c" * 100
    model = model_of({"w.txt": data})
    with running() as server:
        aws.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        server.put("weights", "m/w.txt", data)
        with kept(cache, model, open_origin(never()), never(), silent):
            pass
        blob = cache.blobs / blob_of(data).name
        blob.chmod(0o644)
        blob.write_bytes(data.replace(b"b", b"x"))
        served = server.served()
        (finding,) = scrub(cache.root, never(), lambda *count: None).findings
        assert (finding.chunks, finding.reason) == ((1,), "")
        assert server.served() - served == CHUNK
    assert blob.read_bytes() == data


def test_without_repair_it_is_only_told(cache: Cache, model: Model) -> None:
    damage(cache, 0)
    found = run(cache, mending(AssertionError()), repair=False)
    assert found.findings == (Finding(NAME, (0,), "not repaired", gone=False),)


@pytest.mark.parametrize(
    ("mender", "said"),
    [
        pytest.param(mending(IntegrityError("the object is wrong too")), "the object is wrong", id="S3 too"),
        pytest.param(mending(NetworkError("no answer")), "no answer", id="cannot be fetched"),
        pytest.param(mending(lies=True), "the disk damages them", id="wrong when read back"),
    ],
)
def test_what_is_bad_twice_is_put_away_with_the_reason_and_its_model_goes(
    cache: Cache, model: Model, mender: Source, said: str
) -> None:
    damage(cache, 0)
    (finding,) = run(cache, mender).findings
    assert finding.gone
    assert said in finding.reason
    assert said in (cache.quarantine / f"{NAME}.reason").read_text()
    assert not (cache.blobs / NAME).exists()
    assert not (cache.models / model.digest).exists()
    with kept(cache, model, source_of(FILES), never(), silent) as fetched:
        assert (fetched.receipt.hits, fetched.receipt.misses) == (1, 1)


def test_a_bad_blob_that_somebody_reads_stays_until_nobody_does(cache: Cache, model: Model) -> None:
    damage(cache, 0)
    with leased(cache.leases, [NAME], never()):
        (finding,) = run(cache, mending(NetworkError("no answer"))).findings
        assert not finding.gone
        assert (cache.blobs / NAME).exists()
    assert run(cache, mending(NetworkError("no answer"))).findings[0].gone


def test_only_the_models_that_are_named_are_read(cache: Cache, model: Model) -> None:
    damage(cache, 0)
    assert run(cache, mending(), only={"another"}) == Scrubbed(0, 0, (), ())
    assert run(cache, mending(), only={model.digest}).blobs == 2


@pytest.mark.parametrize(
    ("known", "wrong", "unknown"),
    [
        pytest.param({"chunks": ()}, None, (), id="a checksum of the whole"),
        pytest.param({"chunks": (), "crc64nvme": None}, (), (NAME,), id="only size and ETag"),
    ],
)
def test_without_a_manifest_less_is_known(
    cache: Cache, known: dict[str, object], wrong: tuple[int, ...] | None, unknown: tuple[str, ...]
) -> None:
    full = model_of({"a.safetensors": FILES["a.safetensors"]})
    poor = {path: replace(blob, **known) for path, blob in full.files.items()}  # type: ignore[arg-type]
    with kept(cache, replace(full, files=poor), source_of(FILES), never(), silent):
        pass
    damage(cache, 0)
    found = run(cache, mending())
    assert found.unknown == unknown
    assert [finding.chunks for finding in found.findings] == ([None] if wrong is None else [])


def test_it_can_be_cancelled(cache: Cache, model: Model) -> None:
    cancel = never()
    cancel.set()
    with pytest.raises(Interrupted):
        scrub(cache.root, cancel, lambda *count: None, origin=Source())
