"""What answers of S3, and silences, become: one category, what is wrong what helps, never a secret."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from unittest.mock import patch

import pytest
from botocore import exceptions as boto_errors
from botocore.parsers import ResponseParserError
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_runner.store import fault_server
from tests.wan_runner.store.answering import Response, answering, refusal
from wan_core.errors import (
    AccessDenied,
    InsufficientDiskSpace,
    IntegrityError,
    InternalError,
    InvalidInput,
    NetworkError,
    WanError,
)
from wan_runner.store import connection, redact
from wan_runner.store.answers import missing_target, translated
from wan_runner.store.location import Location
from wan_runner.store.s3 import connect, read_input

PLACE = Location("inputs", "a.png")


@pytest.fixture
def once(aws: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Each request is sent once: botocore's own retries wait for seconds."""
    aws.setattr(connection, "ATTEMPTS", 1)
    return aws


@pytest.fixture
def server(once: pytest.MonkeyPatch) -> Iterator[fault_server.FaultServer]:
    with fault_server.running() as server:
        once.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        yield server


def read() -> bytes:
    return read_input(PLACE.uri, max_bytes=100)


ANSWERS = [
    (401, "Unauthorized", AccessDenied),
    (403, "AccessDenied", AccessDenied),
    (403, "InvalidAccessKeyId", AccessDenied),
    (403, "SignatureDoesNotMatch", AccessDenied),
    (403, "RequestTimeTooSkewed", AccessDenied),
    (400, "ExpiredToken", AccessDenied),
    (400, "InvalidToken", AccessDenied),
    (400, "AuthorizationHeaderMalformed", AccessDenied),
    (301, "PermanentRedirect", AccessDenied),
    (307, "TemporaryRedirect", AccessDenied),
    (404, "XAdminUserNotFound", AccessDenied),
    (404, "NoSuchKey", InvalidInput),
    (404, "NoSuchBucket", InvalidInput),
    (404, "Whatever", InvalidInput),
    (407, "ProxyAuthenticationRequired", AccessDenied),
    (408, "RequestTimeout", NetworkError),
    (429, "TooManyRequests", NetworkError),
    (500, "InternalError", NetworkError),
    (502, "BadGateway", NetworkError),
    (503, "SlowDown", NetworkError),
    (501, "NotImplemented", AccessDenied),
    (507, "XMinioStorageFull", InsufficientDiskSpace),
    (400, "KeyTooLongError", InvalidInput),
    (400, "BadDigest", IntegrityError),
    (400, "InvalidRequest", InternalError),
]


@pytest.mark.parametrize(("status", "code", "error"), ANSWERS)
def test_every_answer_has_one_category_and_names_the_object_and_the_endpoint(
    server: fault_server.FaultServer, status: int, code: str, error: type[WanError]
) -> None:
    server.when(fault_server.Answer(status, code), times=None)
    with pytest.raises(error) as caught:
        read()
    assert type(caught.value) is error
    assert "s3://inputs/a.png" in caught.value.message or "'inputs'" in caught.value.message
    assert server.endpoint in caught.value.message
    assert "test-secret" not in caught.value.message + caught.value.advice


@pytest.mark.parametrize("told_in", ["header", "answer"])
@pytest.mark.parametrize(
    ("hours", "said"),
    [
        (-2, r"clock is 7\d\d\d s ahead of S3's \(\d\d:\d\d:\d\d here, \d\d:\d\d:\d\d there\)"),
        (2, r"s behind S3's"),
    ],
    ids=["ahead", "behind"],
)
def test_a_clock_that_is_wrong_is_told_with_its_skew_and_not_asked_again(
    aws: pytest.MonkeyPatch, told_in: str, hours: int, said: str
) -> None:
    there = datetime.now(UTC) + timedelta(hours=hours)
    body = refusal(403, "RequestTimeTooSkewed").body
    skewed = Response(403, body, {"Date": format_datetime(there, usegmt=True)})
    if told_in == "answer":
        asked = f"<RequestTime>{datetime.now(UTC):%Y%m%dT%H%M%SZ}</RequestTime>"
        times = f"{asked}<ServerTime>{there:%FT%TZ}</ServerTime>"
        skewed = Response(403, body.replace(b"</Error>", times.encode() + b"</Error>"))
    with answering(lambda request: skewed) as s3:
        aws.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
        with pytest.raises(AccessDenied, match=said) as caught:
            read()
        assert len(s3.requests) == 1
    assert caught.value.advice == "Correct this machine's clock (NTP)."
    assert not caught.value.row.retryable


@pytest.mark.parametrize(
    "answer",
    [
        refusal(301, "PermanentRedirect", x_amz_bucket_region="eu-west-1"),
        Response(400, b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>"),
    ],
    ids=["by a header", "in the answer"],
)
def test_a_bucket_in_another_region_is_told_with_its_region(
    once: pytest.MonkeyPatch, answer: Response
) -> None:
    with answering(lambda request: answer) as s3:
        once.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
        with pytest.raises(AccessDenied, match="lies in another region") as caught:
            read()
    assert caught.value.advice == "Set AWS_REGION to eu-west-1 (in a cluster, s3.region)."


def test_a_name_that_does_not_resolve_is_named(once: pytest.MonkeyPatch) -> None:
    once.setenv("AWS_ENDPOINT_URL_S3", "http://s3.no-such-host.invalid:9000")
    with pytest.raises(
        NetworkError, match=r"the name s3\.no-such-host\.invalid does not resolve: "
    ) as caught:
        read()
    assert "DNS" in caught.value.advice


def test_a_port_that_nobody_listens_on_says_so(once: pytest.MonkeyPatch) -> None:
    once.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with pytest.raises(NetworkError, match=r"at http://127\.0\.0\.1:9: Connection refused"):
        read()


def test_an_answer_that_is_lost_is_a_network_error(server: fault_server.FaultServer) -> None:
    server.when(fault_server.Lost())
    with pytest.raises(NetworkError, match="no answer for s3://inputs/a"):
        read()


def test_silence_ends_after_the_timeout(once: pytest.MonkeyPatch) -> None:
    once.setattr(connection, "READ_TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        once.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(NetworkError, match=r"no answer for s3://inputs/a.*timeout"):
            read()


def test_what_is_not_s3_is_said(once: pytest.MonkeyPatch) -> None:
    page = Response(200, b"<!doctype html><p>Sign in", {"Content-Type": "text/html"})
    with answering(lambda request: page) as console:
        once.setenv("AWS_ENDPOINT_URL_S3", console.endpoint)
        client = connect()
        with (
            pytest.raises(NetworkError, match="a web page, as consoles and proxies send, not S3"),
            translated(client, PLACE, missing_target),
        ):
            client.list_objects_v2(Bucket="inputs")


def test_requests_are_sent_as_often_as_is_asked_for(server: fault_server.FaultServer) -> None:
    server.when(fault_server.Answer(503, "SlowDown"), times=None)
    client = connect(attempts=1)
    with pytest.raises(NetworkError), translated(client, PLACE, missing_target):
        client.get_object(Bucket="inputs", Key="a.png")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        pytest.param(
            boto_errors.ConnectTimeoutError(endpoint_url="http://x"), NetworkError, id="connect timeout"
        ),
        pytest.param(boto_errors.ReadTimeoutError(endpoint_url="http://x"), NetworkError, id="read timeout"),
        pytest.param(boto_errors.ConnectionClosedError(endpoint_url="http://x"), NetworkError, id="closed"),
        pytest.param(boto_errors.ProxyConnectionError(proxy_url="http://p"), NetworkError, id="proxy"),
        pytest.param(
            boto_errors.SSLError(endpoint_url="http://x", error=ssl.SSLError("bad")), NetworkError, id="tls"
        ),
        pytest.param(boto_errors.NoCredentialsError(), AccessDenied, id="no credentials"),
        pytest.param(
            boto_errors.CredentialRetrievalError(provider="sso", error_msg="x"), AccessDenied, id="token"
        ),
        pytest.param(ResponseParserError("<p>"), NetworkError, id="no answer of S3"),
        pytest.param(boto_errors.ParamValidationError(report="Key"), InvalidInput, id="bad name"),
    ],
)
def test_what_botocore_raises_without_an_answer_has_a_category_too(
    aws: pytest.MonkeyPatch, raised: Exception, error: type[WanError]
) -> None:
    with pytest.raises(error, match=r"s3://inputs/a\.png"), translated(connect(), PLACE, missing_target):
        raise raised


CANARIES = {
    "AWS_SECRET_ACCESS_KEY": "canary-secret-key/+=",
    "AWS_SESSION_TOKEN": "canary-session-token==",
    "HTTP_PROXY": "http://me:canary-password@127.0.0.1:9",
}


@pytest.mark.parametrize(
    ("status", "code"), [(403, "AccessDenied"), (503, "SlowDown"), (400, "InvalidRequest")]
)
def test_a_store_that_repeats_secrets_is_not_repeated(
    once: pytest.MonkeyPatch, status: int, code: str
) -> None:
    for name, value in CANARIES.items():
        once.setenv(name, value)
    told = refusal(status, code, f"with {' '.join(CANARIES.values())} you may not")
    with answering(lambda request: told) as s3:
        once.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
        with pytest.raises(WanError, match=r"you may not") as caught:
            read()
    assert "canary" not in caught.value.message + caught.value.advice
    assert redact.INSTEAD in caught.value.message


@given(st.text(min_size=6).filter(lambda s: len(s.strip()) >= 6), st.text(), st.text())
def test_no_text_holds_a_secret_that_was_remembered(secret: str, before: str, after: str) -> None:
    with patch.object(redact, "_known", set()):
        redact.remember(secret)
        assert secret.strip() not in redact.redacted(before + secret + after).replace(redact.INSTEAD, "")
