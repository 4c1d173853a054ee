"""What a place in S3 holds: a manifest, a folder that was never published, or nothing, which is said."""

from __future__ import annotations

import hashlib
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.wan_runner.store.models import files_of, written
from wan_core.errors import IntegrityError, ModelNotFound, TrustRemoteCode, WanError
from wan_core.phases import Phase
from wan_runner.store import fetch
from wan_runner.store.contents import SETTINGS_MAX_BYTES
from wan_runner.store.digests import digest_of, to_base64, to_hex
from wan_runner.store.manifest import Manifest
from wan_runner.store.publish import publish
from wan_runner.store.s3 import Location
from wan_runner.store.sources import Unlisted, find_published

M = Location("weights", "m")


def fail(phase: Phase, done: int, total: int) -> None:
    assert phase is Phase.VALIDATION, "it goes on"


def put(s3: Any, files: dict[str, bytes], *, checksums: bool) -> None:
    """As any tool would, with the checksum that we ask for or without one."""
    for path, data in files.items():
        stored = {"ChecksumAlgorithm": "CRC64NVME", "ChecksumCRC64NVME": to_base64(digest_of(data).crc64nvme)}
        s3.put_object(Bucket="weights", Key=f"m/{path}", Body=data, **(stored if checksums else {}))


def test_what_was_published_has_a_manifest(s3: Any, tmp_path: Path) -> None:
    published = publish(written(tmp_path, files_of()), "m", "s3://weights/m")
    assert find_published(s3, M) == published


def test_a_folder_without_a_manifest_is_known_by_the_checksums_of_s3(s3: Any) -> None:
    beside = {"README.md": b"# hi", "assets/logo.png": b"png", ".gitattributes": b"x"}
    put(s3, files_of() | beside, checksums=True)
    found = find_published(s3, M)
    assert isinstance(found, Unlisted)
    assert [file.path for file in found.files] == sorted([*files_of(), "README.md"])
    for file in found.files:
        data = (files_of() | beside)[file.path]
        crc = digest_of(data).crc64nvme
        assert (file.blob().name, file.blob().crc64nvme) == (f"crc64nvme-{to_hex(crc)}-{len(data)}", crc)
        assert (file.blob().tier, file.blob().bytes, file.key) == ("checksum", len(data), file.path)
        assert file.blob().etag == f'"{hashlib.md5(data).hexdigest()}"'
    assert "one flipped byte costs a whole file" in found.warning
    assert "wan weights publish SRC s3://weights/m" in found.warning


def test_without_checksums_only_size_and_etag_are_known_and_that_is_said(s3: Any) -> None:
    put(s3, files_of(), checksums=False)
    found = find_published(s3, M)
    assert isinstance(found, Unlisted)
    assert {file.blob().tier for file in found.files} == {"etag"}
    assert "of 3 of its 3 files only size and ETag are known" in found.warning


@pytest.mark.parametrize("checksums", [True, False], ids=["with checksums", "without"])
def test_its_digest_changes_when_an_object_does(s3: Any, checksums: bool) -> None:
    put(s3, files_of(1), checksums=checksums)
    first, again = find_published(s3, M), find_published(s3, M)
    put(s3, files_of(2), checksums=checksums)
    assert first.digest() == again.digest() != find_published(s3, M).digest()


REFUSED: dict[str, tuple[dict[str, bytes], type[WanError], str]] = {
    "nothing": ({}, ModelNotFound, "no model is published under s3://weights/"),
    "no model": ({"a.txt": b""}, ModelNotFound, "neither manifest.json nor model_index.json"),
    "a pickle": (files_of() | {"vae/model.bin": b""}, TrustRemoteCode, "vae/model.bin"),
    "no manifest": (files_of() | {"manifest.json": b"{}"}, IntegrityError, "is not a manifest"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_model_is_refused_with_what_is_there(s3: Any, name: str) -> None:
    files, error, said = REFUSED[name]
    put(s3, files, checksums=False)
    with pytest.raises(error) as caught:
        find_published(s3, M)
    assert said in caught.value.message


SHARDED = "transformer/model.safetensors.index.json"
INCOMPLETE: dict[str, tuple[dict[str, bytes | None], str]] = {
    "a shard": (
        {SHARDED: b'{"weight_map": {"w": "model.safetensors", "v": "model-2.safetensors"}}'},
        f"{SHARDED} names transformer/model-2.safetensors, which is not there",
    ),
    "a part": (
        {"model_index.json": b'{"transformer": ["a", "b"], "vae": ["a", "b"], "x": [null, null]}'},
        "model_index.json names vae, of which there are no files",
    ),
    "all weights of a part": (
        {"transformer/model.safetensors": None},
        "transformer has no .safetensors file",
    ),
}


@pytest.mark.parametrize("name", INCOMPLETE)
def test_a_folder_that_lacks_what_its_own_index_names_is_no_model(s3: Any, tmp_path: Path, name: str) -> None:
    changed, said = INCOMPLETE[name]
    put(
        s3,
        {path: data for path, data in {**files_of(), **changed}.items() if data is not None},
        checksums=True,
    )
    with pytest.raises(ModelNotFound) as caught, fetch("s3://weights/m", tmp_path, Event(), fail):
        pass
    assert caught.value.message == f"s3://weights/m is not whole: {said}"
    assert "`wan weights publish SRC s3://weights/m`" in caught.value.advice
    assert not (tmp_path / "blobs").exists()


def test_what_its_index_names_may_all_be_there(s3: Any) -> None:
    index = b'{"weight_map": {"w": "model.safetensors"}}'
    put(s3, files_of() | {SHARDED: index}, checksums=True)
    assert SHARDED in [file.path for file in find_published(s3, M).files]


@pytest.mark.parametrize("data", [b"[]", b"{", b" " * (SETTINGS_MAX_BYTES + 1)], ids=["list", "cut", "huge"])
def test_an_index_that_is_none_is_not_believed(s3: Any, data: bytes) -> None:
    put(s3, files_of() | {SHARDED: data}, checksums=True)
    with pytest.raises(IntegrityError, match=r"model\.safetensors\.index\.json"):
        find_published(s3, M)


def test_the_nearest_name_is_told(s3: Any, tmp_path: Path) -> None:
    publish(written(tmp_path, files_of()), "wan-tiny", "s3://weights/wan-tiny")
    with pytest.raises(ModelNotFound, match="published there: wan-tiny; nearest: wan-tiny"):
        find_published(s3, Location("weights", "wan-tinny"))


def test_a_manifest_and_what_lies_without_one_are_asked_the_same(s3: Any, tmp_path: Path) -> None:
    put(s3, files_of(), checksums=True)
    without = find_published(s3, M)
    published = publish(written(tmp_path, files_of()), "m", "s3://weights/n")
    assert isinstance(published, Manifest)
    assert without.total_bytes == published.total_bytes
