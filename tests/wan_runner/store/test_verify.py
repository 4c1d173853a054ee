"""Published models compared with their manifests, and made right from what was published."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.wan_runner.store.faulty_s3 import FaultyS3
from tests.wan_runner.store.models import files_of, written
from wan_core.errors import Interrupted, ModelNotFound
from wan_runner.store.digests import digest_of, to_base64
from wan_runner.store.prepare_model import Assembly
from wan_runner.store.publish import publish
from wan_runner.store.s3 import Location, connect
from wan_runner.store.verify import BYTES, NOTED, SIZE, STORED, Verified, mend_published, verify_published

M = Location("weights", "m")
BIG = "transformer/model.safetensors"


def silent(what: str, done: int, total: int) -> None:
    pass


def look(*, deep: bool = False) -> Verified:
    return verify_published(connect(), M, deep, Event(), silent)


def put(s3: Any, path: str, data: bytes) -> None:
    crc = to_base64(digest_of(data).crc64nvme)
    s3.put_object(
        Bucket="weights", Key=f"m/{path}", Body=data, ChecksumAlgorithm="CRC64NVME", ChecksumCRC64NVME=crc
    )


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(("deep", "way"), [(False, STORED), (True, BYTES)], ids=["checksums", "bytes"])
def test_what_is_whole_has_no_faults(s3: Any, tmp_path: Path, deep: bool, way: str) -> None:
    manifest = publish(written(tmp_path, files_of()), "m", "s3://weights/m")
    assert look(deep=deep) == Verified(manifest, (), {way: 3})


def test_each_fault_is_named(s3: Any, tmp_path: Path) -> None:
    publish(written(tmp_path, files_of()), "m", "s3://weights/m")
    s3.delete_object(Bucket="weights", Key="m/model_index.json")
    put(s3, "transformer/config.json", b"{}")
    put(s3, BIG, flipped(files_of()[BIG]))
    found = look()
    told = {fault.path: fault.problem for fault in found.faults}
    assert (found.missing, found.ways) == (1, {SIZE: 1, STORED: 1})
    size = len(files_of()["transformer/config.json"])
    assert told["model_index.json"] == "is missing"
    assert told["transformer/config.json"] == f"has 2 bytes, not {size}"
    assert told[BIG].startswith("has the checksum ")


def test_bytes_that_changed_under_a_right_checksum_are_found_by_reading(
    faulty: FaultyS3, tmp_path: Path
) -> None:
    """The store knows no checksums: there is what was noted at upload, which no damage changes."""
    publish(written(tmp_path, files_of()), "m", "s3://weights/m")
    faulty.objects[f"/weights/m/{BIG}"] = flipped(files_of()[BIG])
    assert look() == Verified(look().manifest, (), {NOTED: 3})
    [fault] = look(deep=True).faults
    assert (fault.path, fault.problem) == (BIG, "has wrong bytes in 1 of 1 chunks of 64 MiB: 0")


def test_where_nothing_was_noted_only_sizes_are_compared(s3: Any, tmp_path: Path) -> None:
    publish(written(tmp_path, files_of()), "m", "s3://weights/m")
    s3.put_object(Bucket="weights", Key=f"m/{BIG}", Body=files_of()[BIG])
    assert look().ways == {STORED: 2, SIZE: 1}


def test_without_a_manifest_there_is_nothing_to_compare_with(s3: Any) -> None:
    for path, data in files_of().items():
        put(s3, path, data)
    with pytest.raises(ModelNotFound, match=r"has no manifest\.json to compare") as caught:
        look()
    assert caught.value.advice == "Publish it: wan weights publish SRC s3://weights/m"


def test_files_are_sent_again_from_the_source_that_still_has_them(s3: Any, tmp_path: Path) -> None:
    source = written(tmp_path, files_of())
    manifest = publish(source, "m", "s3://weights/m")
    damaged = ["model_index.json", BIG]
    s3.delete_object(Bucket="weights", Key="m/model_index.json")
    put(s3, BIG, flipped(files_of()[BIG]))
    (tmp_path / "model_index.json").write_bytes(b'{"another": 1}')
    mended = mend_published(s3, M, manifest, damaged, Assembly(source), tmp_path, Event())
    assert mended == [BIG]
    assert [fault.path for fault in look(deep=True).faults] == ["model_index.json"]


def test_it_stops_when_it_is_told_to(s3: Any, tmp_path: Path) -> None:
    publish(written(tmp_path, files_of()), "m", "s3://weights/m")
    cancel = Event()
    with pytest.raises(Interrupted):
        verify_published(s3, M, True, cancel, lambda *told: cancel.set())
