"""Who gets in, against a real S3 server: versitygw, which checks signatures, clocks and policies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from botocore.compat import get_current_datetime

from tests.controlplane.s3 import INPUTS, S3Server
from wan_core.errors import AccessDenied, InvalidInput
from wan_runner.store import connection
from wan_runner.store.s3 import connect, read_input

pytestmark = pytest.mark.slow  # the server may have to be built first

URI, IMAGE = f"s3://{INPUTS}/a.png", b"image"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        server.client().put_object(Bucket=INPUTS, Key="a.png", Body=IMAGE)
        yield server


@pytest.fixture
def keys(server: S3Server, aws: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file of credentials that this process is to use: as a Secret brings it, and the right one."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        aws.delenv(name)
    server.write_credentials(tmp_path / "credentials")
    aws.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    aws.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
    aws.setattr(connection, "ATTEMPTS", 1)
    return tmp_path / "credentials"


def read(uri: str = URI) -> bytes:
    return read_input(uri, max_bytes=100)


def test_keys_of_a_file_get_in_and_a_wrong_one_does_not(server: S3Server, keys: Path) -> None:
    assert read() == IMAGE
    keys.write_text(server.credentials("wrong-secret-key"))
    with pytest.raises(AccessDenied, match="SignatureDoesNotMatch") as caught:
        read()
    assert server.secret_key not in caught.value.message
    assert "wrong-secret-key" not in caught.value.message
    server.write_credentials(keys)
    assert read() == IMAGE


@pytest.mark.parametrize("hours", [-1, 1], ids=["behind", "ahead"])
def test_a_clock_that_is_an_hour_wrong_is_told_as_that(
    server: S3Server, keys: Path, aws: pytest.MonkeyPatch, hours: int
) -> None:
    for signer in ("botocore.auth", "botocore.crt.auth"):  # the latter where awscrt is there
        aws.setattr(
            f"{signer}.get_current_datetime",
            lambda **given: get_current_datetime(**given) + timedelta(hours=hours),
        )
    said = r"clock is 36\d\d s ahead of" if hours > 0 else r"clock is 3[56]\d\d s behind"
    with pytest.raises(AccessDenied, match=said) as caught:
        read()
    assert caught.value.advice == "Correct this machine's clock (NTP)."


def test_keys_that_the_server_takes_no_more_are_replaced_in_the_middle(
    server: S3Server, keys: Path, aws: pytest.MonkeyPatch
) -> None:
    aws.setattr("wan_runner.store.renewal.LOOK_EVERY_S", 0.01)
    assert read() == IMAGE
    server.process.kill()
    server.access_key, old = "another-key", server.access_key
    server.process.environment["ROOT_ACCESS_KEY_ID"] = server.access_key
    server.start()
    aws.setattr("wan_runner.store.renewal.time.sleep", lambda seconds: server.write_credentials(keys))
    assert read() == IMAGE
    assert old not in keys.read_text()


def test_a_public_bucket_is_read_by_nobody_in_particular(
    server: S3Server, keys: Path, aws: pytest.MonkeyPatch
) -> None:
    client = server.client()
    client.create_bucket(Bucket="open")
    client.put_object(Bucket="open", Key="a.png", Body=IMAGE)
    allow = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::open/*"}
    client.put_bucket_policy(
        Bucket="open", Policy=json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    )
    keys.unlink()
    aws.setenv("WAN_S3_ANONYMOUS_BUCKETS", f"open,{INPUTS}")
    assert read("s3://open/a.png") == IMAGE
    with pytest.raises(AccessDenied, match="AccessDenied"):
        read()


def test_what_is_not_there_is_not_there(server: S3Server, keys: Path) -> None:
    with pytest.raises(InvalidInput, match=f"there is no s3://{INPUTS}/none.png"):
        read(f"s3://{INPUTS}/none.png")
    assert connect().head_bucket(Bucket=INPUTS)
