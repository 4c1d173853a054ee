"""A real S3 on loopback for every test of the runner, the AWS environment that points to it, and an inbox."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.wan_runner.inbox import Inbox
from wan_runner.store.s3 import connect
from wan_runner.store.serve import BUCKETS, running_server


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    with running_server() as endpoint:
        yield endpoint


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An AWS environment of its own: keys that mean nothing, no file, no metadata service, no endpoint."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "WAN_S3_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    return monkeypatch


@pytest.fixture
def s3(s3_endpoint: str, aws: pytest.MonkeyPatch) -> Any:
    """A boto3 client to a server with empty buckets `weights`, `inputs` and `videos`, and no others."""
    aws.setenv("AWS_ENDPOINT_URL_S3", s3_endpoint)
    client = connect()
    for bucket in client.list_buckets()["Buckets"]:
        _remove_bucket(client, bucket["Name"])
    for name in BUCKETS:
        client.create_bucket(Bucket=name)
    return client


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as box:
        yield box


def _remove_bucket(client: Any, name: str) -> None:
    for upload in client.list_multipart_uploads(Bucket=name).get("Uploads", []):
        client.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
        for entry in page.get("Contents", []):
            client.delete_object(Bucket=name, Key=entry["Key"])
    client.delete_bucket(Bucket=name)
