"""One source of credentials, the one that is configured: which, and that no other takes its place."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wan_runner.store.answering import Request, Response, Server, answering, sts_refusal
from wan_core.errors import AccessDenied, InvalidInput, NetworkError, WanError
from wan_runner.store import identities
from wan_runner.store.s3 import connect, read_input

ROOT = Path(__file__).parents[3]
URI, IMAGE = "s3://inputs/a.png", b"image"
NODE_KEYS = {
    "Code": "Success",
    "AccessKeyId": "NODEKEY",
    "SecretAccessKey": "node-secret",
    "Token": "node-token",
    "Expiration": "2999-01-01T00:00:00Z",
}


def metadata(request: Request) -> Response:
    """The metadata service of a node, generous to whoever asks."""
    if request.method == "PUT":
        return Response(200, b"session-token")
    if request.path.endswith("/security-credentials/"):
        return Response(200, b"node-role")
    return Response(200, json.dumps(NODE_KEYS).encode())


@pytest.fixture
def node(aws: pytest.MonkeyPatch) -> Iterator[Server]:
    """A node whose role anybody on it may take; this process has no credentials, and where S3 is."""
    for name in ("AWS_EC2_METADATA_DISABLED", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        aws.delenv(name)
    aws.setattr(identities, "FIRST_CALL_SPREAD_S", 0.0)
    aws.setattr(identities, "STS_ATTEMPTS", 1)
    with answering(metadata) as server:
        aws.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.endpoint)
        yield server


@pytest.fixture
def store(aws: pytest.MonkeyPatch) -> Iterator[Server]:
    """An S3 that takes anybody."""
    with answering(lambda request: Response(200, IMAGE)) as server:
        aws.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        yield server


def read() -> bytes:
    return read_input(URI, max_bytes=100)


def write_keys(file: Path, access_key: str, profile: str = "default") -> Path:
    file.write_text(
        f"[{profile}]\naws_access_key_id = {access_key}\naws_secret_access_key = secret-{access_key}\n"
    )
    return file


def test_without_any_credentials_nobody_is_asked_and_the_advice_says_what_to_give(
    node: Server, store: Server
) -> None:
    with pytest.raises(AccessDenied, match="no usable S3 credentials for s3://inputs/") as caught:
        read()
    assert (node.requests, store.requests) == ([], [])
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "WAN_S3_ANONYMOUS_BUCKETS", "WAN_S3_NODE_ROLE"):
        assert name in caught.value.advice


def test_the_nodes_role_is_taken_if_that_is_said(
    node: Server, store: Server, aws: pytest.MonkeyPatch
) -> None:
    aws.setenv("WAN_S3_NODE_ROLE", "true")
    assert read() == IMAGE
    assert store.requests[0].access_key == "NODEKEY"
    assert node.requests


CONFIGURED = {
    "a Secret without keys for the profile": (
        {"AWS_SHARED_CREDENTIALS_FILE": "other-profile"},
        AccessDenied,
        r"other-profile has no keys for the profile 'default'; it has: somebody",
    ),
    "a Secret that cannot be parsed": (
        {"AWS_SHARED_CREDENTIALS_FILE": "broken"},
        AccessDenied,
        r"broken: line 2 is not `key = value`$",
    ),
    "a Secret without a header": (
        {"AWS_SHARED_CREDENTIALS_FILE": "headless"},
        AccessDenied,
        r"headless: line 1 stands before any \[profile\]$",
    ),
    "half a pair of keys in a file": (
        {"AWS_SHARED_CREDENTIALS_FILE": "half"},
        AccessDenied,
        "half has aws_access_key_id, but no aws_secret_access_key",
    ),
    "half a pair of keys in the environment": (
        {"AWS_ACCESS_KEY_ID": "AKID"},
        AccessDenied,
        "AWS_SECRET_ACCESS_KEY",
    ),
    "a key with a line break": (
        {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "canary-secret\n"},
        AccessDenied,
        r"the secret access key of AWS_\* holds a space, a line break or the like",
    ),
    "a profile that is not there": ({"AWS_PROFILE": "nobody"}, AccessDenied, "nobody"),
    "web identity without its token": (
        {"AWS_WEB_IDENTITY_TOKEN_FILE": "none", "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/wan"},
        AccessDenied,
        "AWS_WEB_IDENTITY_TOKEN_FILE: .*/none: No such file",
    ),
    "web identity without a role": (
        {"AWS_WEB_IDENTITY_TOKEN_FILE": "token"},
        InvalidInput,
        "AWS_ROLE_ARN is not",
    ),
    "web identity that STS refuses": (
        {
            "AWS_WEB_IDENTITY_TOKEN_FILE": "token",
            "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/wan",
            "AWS_ENDPOINT_URL_STS": "REFUSES",
        },
        AccessDenied,
        r"STS at http://127.*, asked for the role .*role/wan, did not give it: AccessDenied: on purpose",
    ),
    "web identity that STS throttles": (
        {
            "AWS_WEB_IDENTITY_TOKEN_FILE": "token",
            "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/wan",
            "AWS_ENDPOINT_URL_STS": "THROTTLES",
        },
        NetworkError,
        "did not give it: Throttling",
    ),
    "an STS that is not there": (
        {
            "AWS_WEB_IDENTITY_TOKEN_FILE": "token",
            "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/wan",
            "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9",
        },
        NetworkError,
        "no answer for STS at http://127.0.0.1:9, asked for the role arn:aws:iam::123456789012:role/wan: "
        "Connection refused",
    ),
    "Pod Identity that refuses": (
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "REFUSES"},
        AccessDenied,
        "no S3 credentials from the pod's agent at 127.0.0.1:",
    ),
    "Pod Identity whose agent is not there": (
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/v1/credentials"},
        NetworkError,
        "no S3 credentials from the pod's agent at 127.0.0.1:9",
    ),
    "Pod Identity at an odd address": (
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://203.0.113.1/"},
        InvalidInput,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI: Unsupported host",
    ),
}


@pytest.mark.parametrize(("settings", "error", "said"), CONFIGURED.values(), ids=CONFIGURED)
def test_what_is_configured_and_fails_is_an_error_and_never_the_nodes_role(
    node: Server,
    store: Server,
    aws: pytest.MonkeyPatch,
    tmp_path: Path,
    settings: dict[str, str],
    error: type[WanError],
    said: str,
) -> None:
    aws.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
    write_keys(tmp_path / "other-profile", "KEY", "somebody")
    (tmp_path / "broken").write_text("[default]\naws_secret_access_key canary-secret\n")
    (tmp_path / "headless").write_text("aws_secret_access_key = canary-secret\n")
    (tmp_path / "half").write_text("[default]\naws_access_key_id = KEY\n")
    (tmp_path / "token").write_text("canary-token")
    codes = {"REFUSES": sts_refusal(403, "AccessDenied"), "THROTTLES": sts_refusal(400, "Throttling")}
    with answering(lambda request: codes[settings_said]) as refuses:
        settings_said = next((value for value in settings.values() if value in codes), "REFUSES")
        for name, value in settings.items():
            is_file = name.endswith("_FILE")
            aws.setenv(
                name, str(tmp_path / value) if is_file else refuses.endpoint if value in codes else value
            )
        with pytest.raises(error, match=said) as caught:
            read()
    assert type(caught.value) is error
    assert (node.requests, store.requests) == ([], [])
    assert "canary" not in caught.value.message + caught.value.advice


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_an_error(
    store: Server, aws: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_keys(tmp_path / "credentials", "KEY").chmod(0)
    aws.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    with pytest.raises(AccessDenied, match="credentials: Permission denied"):
        read()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ACCESS_KEY_ID", "KEY"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/"),
    ],
)
def test_the_nodes_role_beside_another_source_is_refused(
    node: Server, aws: pytest.MonkeyPatch, name: str, value: str
) -> None:
    aws.setenv("WAN_S3_NODE_ROLE", "true")
    aws.setenv(name, value)
    with pytest.raises(InvalidInput, match=f"WAN_S3_NODE_ROLE=true and {name}"):
        connect()


def test_a_word_that_is_neither_true_nor_false_is_refused(aws: pytest.MonkeyPatch) -> None:
    aws.setenv("WAN_S3_NODE_ROLE", "yes")
    with pytest.raises(InvalidInput, match="WAN_S3_NODE_ROLE: 'yes'; expected true or false"):
        connect()


@pytest.mark.parametrize("where", ["AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"])
@pytest.mark.parametrize("profile", ["default", "studio"])
def test_keys_are_read_from_either_file(
    store: Server, node: Server, aws: pytest.MonkeyPatch, tmp_path: Path, where: str, profile: str
) -> None:
    section = f"profile {profile}" if where == "AWS_CONFIG_FILE" and profile != "default" else profile
    aws.setenv(where, str(write_keys(tmp_path / "file", "FILEKEY", section)))
    aws.setenv("AWS_PROFILE", profile)
    assert read() == IMAGE
    assert store.requests[0].access_key == "FILEKEY"


def test_public_buckets_are_asked_without_a_signature_and_others_with_one(
    store: Server, aws: pytest.MonkeyPatch
) -> None:
    aws.setenv("WAN_S3_ANONYMOUS_BUCKETS", "inputs, models")
    read_input("s3://inputs/a.png", max_bytes=100)
    read_input("s3://private/a.png", max_bytes=100)
    assert [request.access_key for request in store.requests] == [None, "test-key"]


def test_a_public_bucket_needs_no_credentials_at_all(
    store: Server, node: Server, aws: pytest.MonkeyPatch
) -> None:
    aws.setenv("WAN_S3_ANONYMOUS_BUCKETS", "inputs")
    assert read() == IMAGE
    assert node.requests == []


def test_what_is_not_named_public_is_not_asked_for_when_signing_fails(
    store: Server, node: Server, aws: pytest.MonkeyPatch
) -> None:
    aws.setenv("WAN_S3_ANONYMOUS_BUCKETS", "models")
    with pytest.raises(AccessDenied, match="no usable S3 credentials"):
        read()
    assert store.requests == []


def test_no_library_is_used_that_transfers_in_its_own_way() -> None:
    """boto3's transfer layer may switch to a CRT that ignores the endpoint."""
    assert not hasattr(connect(), "upload_file")
    sources = [
        path
        for room in ("runner", "wan_core", "operator")
        for path in (ROOT / room).rglob("*.py")
        if path.is_file()
    ]
    assert sources
    called = re.compile(r"s3transfer|TransferConfig|\.(up|down)load_file(obj)?\(|import boto3")
    assert [str(path) for path in sources if called.search(path.read_text(encoding="utf-8"))] == []
