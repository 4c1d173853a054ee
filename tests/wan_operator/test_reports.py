"""The progress endpoint of local mode, over real HTTP."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.wan_operator.worlds import UID, reports
from wan_core.task import Progress
from wan_operator.reports import BODY_MAX_BYTES, ReportServer


@pytest.fixture
def received() -> list[Progress]:
    return []


@pytest.fixture
def server(received: list[Progress]) -> Iterator[ReportServer]:
    with ReportServer(UID, received.append) as server:
        yield server


def post(url: str, token: str | None, body: bytes) -> int:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def body_of(**changes: Any) -> bytes:
    return json.dumps(reports().to_dict() | changes).encode()


def test_a_report_with_the_attempts_token_is_received_with_the_time_of_arrival(
    server: ReportServer, received: list[Progress]
) -> None:
    before = datetime.now(UTC)
    assert post(server.url, server.issue_token(1), body_of()) == 204
    assert received[0].stage == reports().stage
    assert before <= received[0].time <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("token", "body", "code"),
    [
        pytest.param(None, body_of(), 401, id="no token"),
        pytest.param("wrong", body_of(), 401, id="a wrong token"),
        pytest.param("", body_of(), 401, id="an empty token"),
        pytest.param("right", body_of(attempt=2), 403, id="another attempt"),
        pytest.param("right", body_of(uid="another"), 403, id="another resource"),
        pytest.param("right", b"{", 400, id="no JSON"),
        pytest.param("right", b"[" * 60_000, 400, id="deep nesting"),
        pytest.param("right", b"\xff\xfe", 400, id="no UTF-8"),
        pytest.param("right", body_of(stage="Dreaming"), 400, id="an unknown stage"),
        pytest.param("right", body_of(extra=1), 400, id="an unknown field"),
        pytest.param("right", b" " * (BODY_MAX_BYTES + 1), 413, id="too long a body"),
    ],
)
def test_what_is_not_believed_is_refused(
    server: ReportServer, received: list[Progress], token: str | None, body: bytes, code: int
) -> None:
    right = server.issue_token(1)
    assert post(server.url, right if token == "right" else token, body) == code
    assert received == []


def test_a_token_is_void_once_another_is_issued_for_its_attempt(server: ReportServer) -> None:
    old = server.issue_token(1)
    server.issue_token(1)
    assert post(server.url, old, body_of()) == 401


def test_another_path_is_not_found(server: ReportServer) -> None:
    assert post(server.url + "/x", server.issue_token(1), body_of()) == 404


def test_a_body_without_a_length_is_refused(server: ReportServer) -> None:
    host, port = server.url.removeprefix("http://").split("/")[0].split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(b"POST /v1/progress HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 411 " in connection.recv(4096)


def test_it_listens_on_loopback_only(server: ReportServer) -> None:
    assert server.url.startswith("http://127.0.0.1:")
