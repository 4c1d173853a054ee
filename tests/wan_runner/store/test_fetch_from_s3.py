"""Fetching from a real S3: what arrives, what a missing model is told, what a replaced one becomes."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.wan_runner.store.caches import silent
from tests.wan_runner.store.models import files_of, written
from wan_core.errors import AccessDenied, InvalidInput, ModelNotFound
from wan_core.phases import Phase
from wan_runner.store import FetchedModel, fetch
from wan_runner.store.publish import publish

WEIGHTS = "transformer/model.safetensors"


def put(tmp_path: Path, model: str, files: dict[str, bytes]) -> None:
    publish(written(tmp_path / "src" / model, files), model, f"s3://weights/{model}")


def get(tmp_path: Path, model: str = "m") -> FetchedModel:
    """Fetches and lets go at once; nothing evicts here."""
    with fetch(f"s3://weights/{model}", tmp_path / "cache", Event(), silent) as fetched:
        return fetched


def test_a_published_model_arrives_as_the_folder_it_was(s3: Any, tmp_path: Path) -> None:
    files = files_of()
    put(tmp_path, "m", files)
    model = get(tmp_path)
    assert {name: (model.path / name).read_bytes() for name in files} == files
    receipt = model.receipt
    assert (receipt.bytes_from_s3, receipt.hits, receipt.misses) == (sum(map(len, files.values())), 0, 3)
    assert receipt.warnings == ()


def test_a_full_hit_asks_s3_for_the_manifest_alone(s3: Any, tmp_path: Path) -> None:
    put(tmp_path, "m", files_of())
    first = get(tmp_path)
    asked: list[str] = []
    told: list[tuple[Phase, int, int]] = []
    s3.meta.events.register("before-call.s3", lambda model, **_: asked.append(model.name))
    with fetch("s3://weights/m", tmp_path / "cache", Event(), lambda *what: told.append(what)) as again:
        assert (again.path, again.digest) == (first.path, first.digest)
    assert asked == ["GetObject"]
    total = sum(map(len, files_of().values()))
    assert [told[0], told[1], told[-1]] == [
        (Phase.VALIDATION, 0, 1),
        (Phase.VALIDATION, 1, 1),
        (Phase.DOWNLOAD, total, total),
    ]


def test_a_model_published_anew_is_another_model(s3: Any, tmp_path: Path) -> None:
    put(tmp_path, "m", files_of(1))
    old = get(tmp_path)
    put(tmp_path, "m", files_of(2))
    new = get(tmp_path)
    assert (old.digest, old.path) != (new.digest, new.path)
    assert (old.path / WEIGHTS).read_bytes() == files_of(1)[WEIGHTS]
    assert (new.path / WEIGHTS).read_bytes() == files_of(2)[WEIGHTS]
    assert new.receipt.hits == 2


def test_a_model_without_a_manifest_is_fetched_with_a_warning(s3: Any, tmp_path: Path) -> None:
    for name, data in files_of().items():
        s3.put_object(Bucket="weights", Key=f"raw/{name}", Body=data, ChecksumAlgorithm="CRC64NVME")
    model = get(tmp_path, "raw")
    assert (model.path / WEIGHTS).read_bytes() == files_of()[WEIGHTS]
    assert len(model.receipt.warnings) == 1
    assert "has no manifest.json" in model.receipt.warnings[0]


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        pytest.param(
            "s3://weights/wan-tin", "published there: t2v-A14B, wan-tiny; nearest: wan-tiny", id="near"
        ),
        pytest.param("s3://weights/zzz", "published there: t2v-A14B, wan-tiny", id="nothing near"),
        pytest.param("s3://weights/raw", "it is no model, or its publication was stopped", id="no model"),
        pytest.param("s3://inputs/wan-tiny", "no model is published under s3://inputs/", id="empty bucket"),
        pytest.param("s3://nowhere/wan-tiny", "there is no bucket 'nowhere'", id="no bucket"),
    ],
)
def test_a_model_that_is_not_there_is_not_found_and_the_message_says_what_is(
    s3: Any, tmp_path: Path, uri: str, said: str
) -> None:
    if uri.endswith("raw"):
        s3.put_object(Bucket="weights", Key="raw/notes.txt", Body=b"{}")
    else:
        put(tmp_path, "wan-tiny", files_of())
        put(tmp_path, "t2v-A14B", files_of())
    with pytest.raises(ModelNotFound, match="at http://127") as caught:
        fetch(uri, tmp_path / "cache", Event(), silent).__enter__()
    assert said in caught.value.message


def test_a_cache_that_is_no_folder_is_refused_by_name(s3: Any, tmp_path: Path) -> None:
    put(tmp_path, "m", files_of())
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(AccessDenied, match=r"cannot write .*/cache: Not a directory"):
        get(tmp_path)


def test_a_cache_that_cannot_be_made_is_refused_by_name(s3: Any, tmp_path: Path) -> None:
    put(tmp_path, "m", files_of())
    with pytest.raises(AccessDenied, match=r"cannot write .*: File name too long"):
        fetch("s3://weights/m", tmp_path / ("a" * 300), Event(), silent).__enter__()


@pytest.mark.parametrize("name", ["WAN_CACHE_HIGH_PERCENT", "WAN_CACHE_MAX_BYTES", "WAN_FETCH_MAX_MBPS"])
def test_a_setting_that_is_none_is_refused_before_a_byte_is_fetched(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    put(tmp_path, "m", files_of())
    monkeypatch.setenv(name, "much")
    with pytest.raises(InvalidInput, match=name):
        get(tmp_path)
    assert not (tmp_path / "cache").exists()
