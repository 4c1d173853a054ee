"""Uploads: verified, never over another object, and nothing left behind when they end early."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.wan_runner.store.faulty_s3 import FaultyS3
from wan_core.errors import AccessDenied, IntegrityError, Interrupted, InvalidInput, NetworkError
from wan_runner.store.checksums import Checksum
from wan_runner.store.upload import UploadedObject, upload, withdraw

URI = "s3://videos/ns/uid/1/video.mp4"
KEY = "ns/uid/1/video.mp4"
PART = 5 * 1024 * 1024  # the smallest part that S3 takes


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write(tmp_path / "small.mp4", b"a small video" * 100)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    return write(tmp_path / "large.mp4", bytes(range(256)) * (2 * PART // 256) + b"tail")


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def open_uploads(s3: Any) -> list[str]:
    return [upload["Key"] for upload in s3.list_multipart_uploads(Bucket="videos").get("Uploads", [])]


def keys(s3: Any) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket="videos").get("Contents", [])]


@pytest.mark.parametrize("name", ["small", "large"])
def test_an_upload_is_there_with_type_metadata_and_digest(
    s3: Any, request: pytest.FixtureRequest, name: str
) -> None:
    path: Path = request.getfixturevalue(name)
    data = path.read_bytes()
    uploaded = upload(path, URI, "video/mp4", {"seed": "42"}, part_bytes=PART)
    sha256 = hashlib.sha256(data).hexdigest()
    assert uploaded == UploadedObject(URI, len(data), sha256, Checksum.SHA256)
    stored = s3.get_object(Bucket="videos", Key=KEY)
    assert stored["Body"].read() == data
    assert (stored["ContentType"], stored["Metadata"]) == ("video/mp4", {"seed": "42", "sha256": sha256})
    assert open_uploads(s3) == []


@pytest.mark.parametrize("name", ["small", "large"])
def test_another_object_is_never_overwritten(s3: Any, request: pytest.FixtureRequest, name: str) -> None:
    s3.put_object(Bucket="videos", Key=KEY, Body=b"somebody else's")
    with pytest.raises(InvalidInput, match="it is never overwritten"):
        upload(request.getfixturevalue(name), URI, "video/mp4", part_bytes=PART)
    assert s3.get_object(Bucket="videos", Key=KEY)["Body"].read() == b"somebody else's"
    assert open_uploads(s3) == []


@pytest.mark.parametrize("name", ["small", "large"])
def test_our_own_bytes_from_an_earlier_try_are_a_success(
    s3: Any, request: pytest.FixtureRequest, name: str
) -> None:
    path = request.getfixturevalue(name)
    first = upload(path, URI, "video/mp4", part_bytes=PART)
    assert upload(path, URI, "video/mp4", part_bytes=PART) == first
    assert open_uploads(s3) == []


@pytest.mark.parametrize("name", ["small", "large"])
def test_a_missing_bucket_is_the_administrators_and_the_advice_says_so(
    s3: Any, request: pytest.FixtureRequest, name: str
) -> None:
    with pytest.raises(AccessDenied, match="there is no bucket 'elsewhere'") as caught:
        upload(request.getfixturevalue(name), "s3://elsewhere/video.mp4", "video/mp4", part_bytes=PART)
    assert "Create the bucket" in caught.value.advice


def test_progress_counts_parts_up_to_the_whole(s3: Any, large: Path) -> None:
    seen: list[tuple[int, int]] = []
    upload(
        large, URI, "video/mp4", part_bytes=PART, on_progress=lambda done, total: seen.append((done, total))
    )
    size = large.stat().st_size
    assert seen == [(PART, size), (2 * PART, size), (size, size), (size, size)]


def test_an_upload_cancelled_between_parts_leaves_nothing(s3: Any, large: Path) -> None:
    cancel = Event()
    with pytest.raises(Interrupted):
        upload(
            large,
            URI,
            "video/mp4",
            part_bytes=PART,
            cancel=cancel,
            on_progress=lambda done, total: cancel.set(),
        )
    assert (keys(s3), open_uploads(s3)) == ([], [])


def test_an_upload_cancelled_beforehand_sends_nothing(s3: Any, small: Path) -> None:
    cancel = Event()
    cancel.set()
    with pytest.raises(Interrupted):
        upload(small, URI, "video/mp4", cancel=cancel)
    assert keys(s3) == []


def test_an_upload_cancelled_while_it_is_sent_is_taken_back(s3: Any, small: Path) -> None:
    cancel = Event()
    with pytest.raises(Interrupted, match="removed again"):
        upload(small, URI, "video/mp4", cancel=cancel, on_progress=lambda done, total: cancel.set())
    assert keys(s3) == []


def test_ctrl_c_between_parts_leaves_no_open_upload(s3: Any, large: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upload(large, URI, "video/mp4", part_bytes=PART, on_progress=interrupt)
    assert (keys(s3), open_uploads(s3)) == ([], [])


@pytest.fixture
def refusing(s3: Any) -> Iterator[Any]:
    """The store refuses the second part of every upload, as a quota would."""

    def refuse(params: dict[str, Any], **kwargs: Any) -> None:
        if params["query_string"].get("partNumber") == 2:
            answer = {"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}}
            raise ClientError(answer, "UploadPart")

    s3.meta.events.register("before-call.s3.UploadPart", refuse)
    yield s3
    s3.meta.events.unregister("before-call.s3.UploadPart", refuse)


def test_a_part_that_fails_ends_the_upload_and_leaves_none_open(refusing: Any, large: Path) -> None:
    with pytest.raises(NetworkError, match="SlowDown"):
        upload(large, URI, "video/mp4", part_bytes=PART)
    assert (keys(refusing), open_uploads(refusing)) == ([], [])


def test_an_uploaded_object_can_be_withdrawn(s3: Any, small: Path) -> None:
    withdraw(upload(small, URI, "video/mp4"))
    assert keys(s3) == []


def test_an_answer_that_was_lost_does_not_lose_the_upload(faulty: FaultyS3, small: Path) -> None:
    faulty.faults["/videos/" + KEY] = ["lost"]
    with pytest.raises(NetworkError):
        upload(small, URI, "video/mp4")
    assert upload(small, URI, "video/mp4").bytes == small.stat().st_size
    assert faulty.objects["/videos/" + KEY] == small.read_bytes()


def test_a_store_without_checksums_is_read_back(faulty: FaultyS3, small: Path) -> None:
    upload(small, URI, "video/mp4")
    assert faulty.requests == [(method, "/videos/" + KEY) for method in ("PUT", "HEAD", "GET")]


def test_a_store_that_damages_what_it_keeps_is_noticed(faulty: FaultyS3, small: Path) -> None:
    faulty.faults["/videos/" + KEY] = ["flip"]
    with pytest.raises(IntegrityError, match="after the upload of"):
        upload(small, URI, "video/mp4")


@pytest.mark.parametrize("uri", ["videos/video.mp4", "s3://Videos/x", "file:///x"])
def test_an_output_that_is_no_address_is_invalid_input(
    aws: pytest.MonkeyPatch, small: Path, uri: str
) -> None:
    with pytest.raises(InvalidInput, match="output: "):
        upload(small, uri, "video/mp4")
