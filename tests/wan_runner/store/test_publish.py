"""Publishing a model: everything once, the manifest last, and no pickle ever."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.wan_runner.store.faulty_s3 import FaultyS3
from tests.wan_runner.store.models import files_of, written
from wan_core.errors import (
    AccessDenied,
    InsufficientDiskSpace,
    InvalidInput,
    NetworkError,
)
from wan_runner.store import publish as publishing
from wan_runner.store.digests import digest_of
from wan_runner.store.manifest import read_manifest
from wan_runner.store.prepare_model import Assembly, Made
from wan_runner.store.publish import publish, publish_model
from wan_runner.store.s3 import Location
from wan_runner.store.verify import verify_published


def names(s3: Any, prefix: str = "m") -> list[str]:
    listing = s3.list_objects_v2(Bucket="weights", Prefix=prefix + "/")
    return [entry["Key"].removeprefix(prefix + "/") for entry in listing.get("Contents", [])]


def test_the_manifest_lists_every_file_and_says_whence_it_came(s3: Any, tmp_path: Path) -> None:
    files = written(tmp_path, files_of())
    manifest = publish(files, "m", "s3://weights/m", source="trained here", license_id="Apache-2.0")
    stored = s3.get_object(Bucket="weights", Key="m/manifest.json")["Body"].read()
    assert read_manifest(stored, "m") == manifest
    assert (manifest.model, manifest.source, manifest.license) == ("m", "trained here", "Apache-2.0")
    assert sorted(names(s3)) == sorted([*files, "manifest.json"])


def test_publishing_twice_sends_nothing_twice(faulty: FaultyS3, tmp_path: Path) -> None:
    files = written(tmp_path, files_of())
    publish(files, "m", "s3://weights/m")
    puts = [request for request in faulty.requests if request[0] == "PUT"]
    publish(files, "m", "s3://weights/m")
    assert [request for request in faulty.requests if request[0] == "PUT"] == puts
    assert puts[-1] == ("PUT", "/weights/m/manifest.json")


def test_only_what_changed_is_sent_again_and_not_over_what_the_old_manifest_names(
    faulty: FaultyS3, tmp_path: Path
) -> None:
    publish(written(tmp_path / "1", files_of(1)), "m", "s3://weights/m")
    old = dict(faulty.objects)
    faulty.requests.clear()
    changed = publish(written(tmp_path / "2", files_of(2)), "m", "s3://weights/m")
    weights = next(file for file in changed.files if file.path == "transformer/model.safetensors")
    puts = [path for method, path in faulty.requests if method == "PUT"]
    assert weights.key == f"transformer/model.{weights.sha256[:16]}.safetensors"
    assert puts == [f"/weights/m/{weights.key}", "/weights/m/manifest.json"]
    assert {path for path, data in old.items() if faulty.objects[path] != data} == {
        "/weights/m/manifest.json"
    }


def test_what_is_published_again_as_it_was_lies_where_it_was(faulty: FaultyS3, tmp_path: Path) -> None:
    first = publish(written(tmp_path / "1", files_of(1)), "m", "s3://weights/m")
    publish(written(tmp_path / "2", files_of(2)), "m", "s3://weights/m")
    faulty.requests.clear()
    assert publish(written(tmp_path / "1", files_of(1)), "m", "s3://weights/m").digest() == first.digest()


def test_the_digest_is_of_the_bytes_wherever_they_lie(s3: Any, tmp_path: Path) -> None:
    publish(written(tmp_path / "1", files_of(1)), "m", "s3://weights/m")
    moved = publish(written(tmp_path / "2", files_of(2)), "m", "s3://weights/m")
    assert moved.digest() == publish(written(tmp_path / "2", files_of(2)), "m", "s3://weights/n/m").digest()


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(["503 SlowDown"], id="before it was seen what is there"),
        pytest.param(["", "503 SlowDown"], id="at the end"),
    ],
)
def test_a_publication_that_fails_half_way_leaves_the_old_model(
    faulty: FaultyS3, tmp_path: Path, faults: list[str]
) -> None:
    old = publish(written(tmp_path / "1", files_of(1)), "m", "s3://weights/m")
    files = written(tmp_path / "2", files_of(2))
    faulty.faults["/weights/m/manifest.json"] = faults
    with pytest.raises(NetworkError):
        publish(files, "m", "s3://weights/m")
    assert faulty.objects["/weights/m/manifest.json"] == old.canonical()
    for file in old.files:
        assert digest_of(faulty.objects[f"/weights/m/{file.key}"]).sha256 == file.sha256


def test_a_first_publication_that_fails_half_way_is_not_taken_for_a_model(
    faulty: FaultyS3, tmp_path: Path
) -> None:
    faulty.faults["/weights/m/transformer/model.safetensors"] = ["403 AccessDenied"] * 9
    with pytest.raises(AccessDenied):
        publish(written(tmp_path, files_of()), "m", "s3://weights/m")
    assert "/weights/m/transformer/config.json" in faulty.objects
    assert "/weights/m/model_index.json" not in faulty.objects


@pytest.mark.parametrize("answer", ["501 NotImplemented", "400 InvalidArgument"])
def test_a_store_that_refuses_the_checksum_gets_another_and_that_is_said(
    faulty: FaultyS3, tmp_path: Path, caplog: pytest.LogCaptureFixture, answer: str
) -> None:
    smallest = "/weights/m/transformer/config.json"
    faulty.faults[smallest] = [answer]
    publish(written(tmp_path, files_of()), "m", "s3://weights/m")
    assert "the store refuses CRC64NVME, so SHA-256 is sent instead" in caplog.text
    assert faulty.count("PUT", smallest) == 2
    assert all(faulty.count("PUT", path) == 1 for path in faulty.objects if path != smallest)


def test_a_store_that_keeps_no_checksum_is_read_back_and_that_is_said_once(
    faulty: FaultyS3, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(written(tmp_path, files_of()), "m", "s3://weights/m")
    assert caplog.text.count("the store keeps no CRC64NVME") == 1


@pytest.mark.parametrize(
    ("model_id", "said", "field"),
    [
        pytest.param("m" * 129, {}, "the model's id", id="long id"),
        pytest.param("m", {"source": "x" * 1025}, "--source", id="long source"),
        pytest.param("m", {"license_id": "x" * 1025}, "--license", id="long licence"),
        pytest.param("m", {"license_id": "a\nb"}, "--license", id="a licence of two lines"),
        pytest.param("m", {"source": "\udcff"}, "--source", id="no text"),
    ],
)
def test_what_a_manifest_cannot_say_is_refused_before_anything_is_sent(
    s3: Any, tmp_path: Path, model_id: str, said: dict[str, str], field: str
) -> None:
    with pytest.raises(InvalidInput, match=field):
        publish(written(tmp_path, files_of()), model_id, "s3://weights/m", **said)
    assert names(s3) == []


def test_a_scratch_folder_that_cannot_be_written_is_told_before_anything_is_sent(
    s3: Any, tmp_path: Path
) -> None:
    model = Assembly(written(tmp_path / "f", files_of()))
    with pytest.raises(AccessDenied, match="cannot write"):  # it is there, and nothing can be made in it
        publish_model(model, "m", "s3://weights/m", scratch=Path("/proc/self"))
    assert names(s3) == []


def test_a_scratch_folder_that_is_too_small_is_told_with_what_helps(s3: Any, tmp_path: Path) -> None:
    made = Made("transformer", 2**62, lambda folder, tick: None)
    model = Assembly(written(tmp_path / "f", files_of()), (made,))
    with pytest.raises(InsufficientDiskSpace, match=f"needs {2**62} more bytes") as caught:
        publish_model(model, "m", "s3://weights/m", scratch=tmp_path / "s")
    assert caught.value.advice == "Free disk space there, or name another folder."
    assert names(s3) == []


def test_two_publishers_at_once_leave_a_whole_model(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (written(tmp_path / str(n), files_of(n)) for n in (1, 2))
    send_manifest = publishing._send_manifest

    def after_the_other(*given: Any) -> None:
        monkeypatch.setattr(publishing, "_send_manifest", send_manifest)
        publish(second, "m", "s3://weights/m")
        assert verify_published(s3, Location("weights", "m"), True, Event(), lambda *told: None).faults == ()
        send_manifest(*given)

    monkeypatch.setattr(publishing, "_send_manifest", after_the_other)
    manifest = publish(first, "m", "s3://weights/m")
    found = verify_published(s3, Location("weights", "m"), True, Event(), lambda *told: None)
    assert (found.faults, found.manifest) == ((), manifest)


def test_a_store_without_conditional_writes_is_published_to_and_that_is_said(
    faulty: FaultyS3, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    faulty.faults["/weights/m/transformer/config.json"] = ["501 NotImplemented"] * 2
    publish(written(tmp_path, files_of()), "m", "s3://weights/m")
    assert "the store knows no conditional writes" in caplog.text
    assert "/weights/m/manifest.json" in faulty.objects
