"""Large files in parts: found again after a kill, not sent twice, and none left open by who ends in order."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

import pytest
from botocore.exceptions import ClientError

from wan_core.errors import Interrupted, InvalidInput, NetworkError
from wan_runner.store.checksums import Checksum
from wan_runner.store.digests import digest_file, to_base64
from wan_runner.store.publish import target_of
from wan_runner.store.s3 import Location
from wan_runner.store.upload import Content, Target, is_stored, send

PART = 5 * 1024 * 1024  # the smallest part that S3 takes
PLACE = Location("weights", "m/w.safetensors")


@pytest.fixture
def content(tmp_path: Path) -> Content:
    """Three parts, each of them different."""
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"".join(bytes([n]) * PART for n in range(2)) + b"tail")
    return Content(path, digest_file(path, chunk_bytes=PART))


@pytest.fixture
def target(s3: Any) -> Target:
    return target_of(s3, PLACE)


def leave_open(s3: Any, content: Content, count: int, **changes: Any) -> str:
    """What a killed process leaves: an upload with the first `count` parts in it."""
    kind = {"ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "FULL_OBJECT"}
    name = {"Bucket": PLACE.bucket, "Key": PLACE.key}
    upload: str = s3.create_multipart_upload(**name, **kind)["UploadId"]
    for number in range(1, count + 1):
        part = content.path.read_bytes()[(number - 1) * PART : number * PART]
        s3.upload_part(**{**name, "UploadId": upload, "PartNumber": number, "Body": part, **changes})
    return upload


def open_uploads(s3: Any) -> list[str]:
    return [upload["UploadId"] for upload in s3.list_multipart_uploads(Bucket="weights").get("Uploads", [])]


@pytest.fixture
def sent(s3: Any) -> Any:
    """The numbers of the parts that are sent."""
    numbers: list[int] = []

    def note(params: dict[str, Any], **kwargs: Any) -> None:
        numbers.append(params["query_string"]["partNumber"])

    s3.meta.events.register("before-call.s3.UploadPart", note)
    yield numbers
    s3.meta.events.unregister("before-call.s3.UploadPart", note)


def test_the_object_has_the_checksum_of_the_whole(s3: Any, target: Target, content: Content) -> None:
    uploaded = send(target, content, Event())
    head = s3.head_object(Bucket="weights", Key=PLACE.key, ChecksumMode="ENABLED")
    assert head["ChecksumCRC64NVME"] == to_base64(content.digests.crc64nvme)
    assert (head["ChecksumType"], uploaded.checksum) == ("FULL_OBJECT", Checksum.CRC64NVME)
    assert (is_stored(target, content), open_uploads(s3)) == (True, [])


def test_parts_that_a_killed_process_sent_are_not_sent_again(
    s3: Any, target: Target, content: Content, sent: list[int]
) -> None:
    leave_open(s3, content, 2)
    sent.clear()
    send(target, content, Event())
    assert (sent, open_uploads(s3)) == ([3], [])
    assert s3.get_object(Bucket="weights", Key=PLACE.key)["Body"].read() == content.path.read_bytes()


def test_an_upload_of_other_bytes_is_ended_and_not_gone_on_with(
    s3: Any, target: Target, content: Content, sent: list[int]
) -> None:
    leave_open(s3, content, 2, Body=b"\xff" * PART)
    leave_open(s3, content, 0)
    sent.clear()
    send(target, content, Event())
    assert (sorted(sent), open_uploads(s3)) == ([1, 2, 3], [])


def refuse(s3: Any, request: str, status: int, code: str) -> Any:
    """Has the store refuse a kind of request; returns what ends that."""

    def answer(**kwargs: Any) -> None:
        error = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
        raise ClientError(error, request)  # type: ignore[arg-type]

    s3.meta.events.register(f"before-call.s3.{request}", answer)
    return lambda: s3.meta.events.unregister(f"before-call.s3.{request}", answer)


def test_a_network_that_fails_leaves_what_is_gone_on_with(
    s3: Any, target: Target, content: Content, sent: list[int]
) -> None:
    heal = refuse(s3, "CompleteMultipartUpload", 503, "SlowDown")
    with pytest.raises(NetworkError):
        send(target, content, Event())
    heal()
    assert (sorted(sent), len(open_uploads(s3))) == ([1, 2, 3], 1)
    send(target, content, Event())
    assert (sorted(sent), open_uploads(s3)) == ([1, 2, 3], [])


def test_who_may_not_list_uploads_sends_all_parts(s3: Any, target: Target, content: Content) -> None:
    allow = refuse(s3, "ListMultipartUploads", 403, "AccessDenied")
    send(target, content, Event())
    allow()
    assert is_stored(target, content)


def test_being_told_to_stop_leaves_no_upload_open(s3: Any, target: Target, content: Content) -> None:
    cancel = Event()
    with pytest.raises(Interrupted):
        send(target, content, cancel, lambda done, total: cancel.set())
    assert open_uploads(s3) == []


def test_a_file_that_changes_meanwhile_is_noticed(s3: Any, target: Target, content: Content) -> None:
    content.path.write_bytes(b"\xee" * content.size)
    with pytest.raises(InvalidInput, match="has changed since it was read: part 1"):
        send(target, content, Event())
    assert open_uploads(s3) == []
    assert not is_stored(target, content)
