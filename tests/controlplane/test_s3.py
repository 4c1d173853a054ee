"""The S3 server of the tests does what the store leans on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.controlplane.s3 import BUCKETS, VIDEOS, WEIGHTS, S3Server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


def test_the_buckets_of_an_installation_are_there(s3: S3Server):
    assert {b["Name"] for b in s3.client().list_buckets()["Buckets"]} == set(BUCKETS)


def test_an_object_keeps_its_metadata(s3: S3Server):
    s3.client().put_object(Bucket=VIDEOS, Key="a/b.mp4", Body=b"abc", Metadata={"sha256": "12"})
    assert s3.client().head_object(Bucket=VIDEOS, Key="a/b.mp4")["Metadata"] == {"sha256": "12"}
    assert s3.keys(VIDEOS, "a/") == ["a/b.mp4"]


def test_an_object_can_be_made_only_where_there_is_none(s3: S3Server):
    s3.client().put_object(Bucket=VIDEOS, Key="once", Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.client().put_object(Bucket=VIDEOS, Key="once", Body=b"2", IfNoneMatch="*")


def test_uploads_that_are_open_are_told(s3: S3Server):
    begun = s3.client().create_multipart_upload(Bucket=VIDEOS, Key="half")
    assert s3.open_uploads(VIDEOS) == ["half"]
    s3.client().abort_multipart_upload(Bucket=VIDEOS, Key="half", UploadId=begun["UploadId"])
    assert s3.open_uploads(VIDEOS) == []


def test_another_secret_is_refused(s3: S3Server, tmp_path: Path):
    other = S3Server(tmp_path)
    other.endpoint, other.access_key = s3.endpoint, s3.access_key
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        other.client().list_buckets()
    assert s3.secret_key not in s3.credentials("wrong")


def test_objects_outlive_a_restart_of_the_server(s3: S3Server):
    s3.client().put_object(Bucket=VIDEOS, Key="stays", Body=b"stays")
    s3.process.kill()
    s3.start()
    assert s3.client().get_object(Bucket=VIDEOS, Key="stays")["Body"].read() == b"stays"


def test_the_tiny_models_are_published_whole(s3: S3Server):
    s3.publish_tiny(["wan-tiny"])
    manifest = json.loads(_read(s3, "wan-tiny/manifest.json"))
    assert manifest["model"] == "wan-tiny"
    for file in manifest["files"]:
        content = _read(s3, f"wan-tiny/{file['path']}")
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])


def _read(s3: S3Server, key: str) -> bytes:
    content: bytes = s3.client().get_object(Bucket=WEIGHTS, Key=key)["Body"].read()
    return content
