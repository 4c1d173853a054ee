"""What an API server refuses, by type."""

from __future__ import annotations

import json

import pytest

from wan_operator.cluster.refusals import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    Refusal,
    TooLarge,
    Unavailable,
    refusal_of,
)


def body(reason: str, message: str) -> bytes:
    return json.dumps({"kind": "Status", "reason": reason, "message": message}).encode()


@pytest.mark.parametrize(
    ("status", "reason", "message", "kind"),
    [
        pytest.param(404, "NotFound", "no such thing", NotFound, id="404"),
        pytest.param(409, "AlreadyExists", "it exists", AlreadyExists, id="409 on create"),
        pytest.param(409, "Conflict", "it was modified", Conflict, id="409 on apply"),
        pytest.param(410, "Expired", "too old resource version", Gone, id="410"),
        pytest.param(403, "Forbidden", "exceeded quota", Forbidden, id="403"),
        pytest.param(422, "Invalid", "spec: denied", Invalid, id="422"),
        pytest.param(400, "BadRequest", "no", Invalid, id="400"),
        pytest.param(413, "RequestEntityTooLarge", "limit is 3145728", Invalid, id="413"),
        pytest.param(500, "", "etcdserver: request is too large", TooLarge, id="etcd's limit, told as 500"),
        pytest.param(500, "InternalError", "boom", Unavailable, id="500"),
        pytest.param(429, "TooManyRequests", "wait", Unavailable, id="429"),
        pytest.param(401, "Unauthorized", "who", Unavailable, id="401"),
        pytest.param(503, "", "starting", Unavailable, id="503"),
    ],
)
def test_a_refusal_has_a_type_and_the_servers_words(
    status: int, reason: str, message: str, kind: type[Refusal]
) -> None:
    refusal = refusal_of(status, body(reason, message))

    assert type(refusal) is kind
    assert refusal.message == message
    assert refusal.status == status


@pytest.mark.parametrize("raw", [b"<html>bad gateway</html>", b"\xff\xfe", b"[]", b"null", b""])
def test_a_body_that_is_no_status_is_quoted(raw: bytes) -> None:
    refusal = refusal_of(502, raw)

    assert isinstance(refusal, Unavailable)
    assert refusal.message == raw.decode("utf-8", "replace")


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), (None, None), ("Wed, 21 Oct 2015", None), ("-1", None)]
)
def test_the_servers_wish_to_wait_is_read(header: str | None, seconds: float | None) -> None:
    refusal = refusal_of(429, b"", header)

    assert isinstance(refusal, Unavailable)
    assert refusal.retry_after_s == seconds
