"""Who a pod is: web identity against a real STS, Pod Identity against an agent, both with tokens in files."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.wan_runner.store.answering import Request, Response, Server, answering, sts_refusal
from tests.wan_runner.store.certificates import make_authority
from wan_core.errors import AccessDenied, InvalidInput
from wan_runner.store import connection, identities, renewal
from wan_runner.store.connection import connect
from wan_runner.store.s3 import read_input

IMAGE, ROLE = b"image", "arn:aws:iam::123456789012:role/wan"


@pytest.fixture
def alone(aws: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No keys in the environment, and nobody waits before asking."""
    aws.delenv("AWS_ACCESS_KEY_ID")
    aws.delenv("AWS_SECRET_ACCESS_KEY")
    aws.setattr(identities, "FIRST_CALL_SPREAD_S", 0.0)
    aws.setattr(connection, "ATTEMPTS", 1)
    return aws


@pytest.fixture
def token(alone: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The projected token of a service account, and the role that it stands for."""
    file = tmp_path / "token"
    file.write_text("token-1\n")
    alone.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(file))
    alone.setenv("AWS_ROLE_ARN", ROLE)
    return file


@pytest.fixture
def store(alone: pytest.MonkeyPatch) -> Iterator[Server]:
    with answering(lambda request: Response(200, IMAGE)) as server:
        alone.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        yield server


def read() -> bytes:
    return read_input("s3://inputs/a.png", max_bytes=100)


@contextmanager
def moto_sts(seen: list[dict[str, str]]) -> Iterator[str]:
    """moto's STS; `seen` takes the form of each request."""
    from moto.moto_server.werkzeug_app import create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    app = create_backend_app("sts")

    def recording(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        seen.append({name: values[0] for name, values in parse_qs(body.decode()).items()})
        return app(environ | {"wsgi.input": BytesIO(body)}, start)

    server = make_server("127.0.0.1", 0, recording, threaded=True)
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_token_becomes_a_role_and_is_read_anew_when_the_role_is_renewed(
    alone: pytest.MonkeyPatch, token: Path, store: Server
) -> None:
    seen: list[dict[str, str]] = []
    with moto_sts(seen) as endpoint:
        alone.setenv("AWS_ENDPOINT_URL_STS", endpoint)
        assert (read(), read()) == (IMAGE, IMAGE)
        token.write_text("token-2\n")
        later = datetime.now(UTC) + timedelta(minutes=50)
        alone.setattr(renewal, "now", lambda: later)
        assert read() == IMAGE
    assert [form["WebIdentityToken"] for form in seen] == ["token-1", "token-2"]
    assert {form["RoleArn"] for form in seen} == {ROLE}
    assert {form["RoleSessionName"] for form in seen} == {"wan-runner"}
    first, second, third = [request.access_key for request in store.requests]
    assert first == second != third
    assert all("x-amz-security-token" in request.headers for request in store.requests)


def test_web_identity_may_stand_in_a_profile(
    alone: pytest.MonkeyPatch, store: Server, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("token-1")
    (tmp_path / "config").write_text(
        f"[default]\nrole_arn = {ROLE}\nweb_identity_token_file = {tmp_path / 'token'}\n"
        "role_session_name = video\n"
    )
    alone.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    seen: list[dict[str, str]] = []
    with moto_sts(seen) as endpoint:
        alone.setenv("AWS_ENDPOINT_URL_STS", endpoint)
        assert read() == IMAGE
    assert [form["RoleSessionName"] for form in seen] == ["video"]


def test_sts_is_trusted_by_the_same_authorities_as_s3(
    alone: pytest.MonkeyPatch, token: Path, store: Server, tmp_path: Path
) -> None:
    authority = make_authority(tmp_path, "our-authority")
    with answering(lambda request: granted("KEY"), tls=authority.sign(tmp_path, "127.0.0.1")) as sts:
        alone.setenv("AWS_ENDPOINT_URL_STS", sts.endpoint)
        alone.setenv("AWS_CA_BUNDLE", str(authority.file))
        assert read() == IMAGE
    assert store.requests[0].access_key == "KEY"


def test_throttling_of_sts_is_waited_out(alone: pytest.MonkeyPatch, token: Path, store: Server) -> None:
    answers = [sts_refusal(400, "Throttling"), sts_refusal(503, "ServiceUnavailable"), granted("KEY")]
    alone.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    with answering(lambda request: answers.pop(0)) as sts:
        alone.setenv("AWS_ENDPOINT_URL_STS", sts.endpoint)
        assert read() == IMAGE
        assert len(sts.requests) == 3
    assert store.requests[0].access_key == "KEY"


def test_a_role_that_is_refused_is_not_asked_for_twice(
    alone: pytest.MonkeyPatch, token: Path, store: Server
) -> None:
    with answering(lambda request: sts_refusal(400, "InvalidIdentityToken", "no such issuer")) as sts:
        alone.setenv("AWS_ENDPOINT_URL_STS", sts.endpoint)
        with pytest.raises(AccessDenied, match="InvalidIdentityToken: no such issuer") as caught:
            read()
        assert len(sts.requests) == 1
    assert "trust policy" in caught.value.advice
    assert "token-1" not in caught.value.message


@pytest.mark.parametrize(
    ("settings", "endpoint"),
    [
        ({"AWS_REGION": "eu-central-1"}, "https://sts.eu-central-1.amazonaws.com"),
        ({"AWS_ENDPOINT_URL_STS": "http://sts.example.com"}, "http://sts.example.com"),
        ({"AWS_ENDPOINT_URL": "http://minio.example.com"}, "http://minio.example.com"),
    ],
    ids=["of the region", "its own", "of everything"],
)
def test_sts_is_asked_in_the_region_or_where_it_is_said_to_be(
    alone: pytest.MonkeyPatch, token: Path, settings: dict[str, str], endpoint: str
) -> None:
    for name, value in settings.items():
        alone.setenv(name, value)
    session = connection._session(connection.read_environment())
    provider = identities.WebIdentity(session, settings, settings.get("AWS_REGION", "us-east-1"))
    assert provider._client().meta.endpoint_url == endpoint


def test_a_session_name_that_sts_would_not_take_is_told_before_it_is_asked(
    alone: pytest.MonkeyPatch, token: Path, store: Server
) -> None:
    alone.setenv("AWS_ROLE_SESSION_NAME", "x")
    with pytest.raises(InvalidInput, match=r"AWS_ROLE_SESSION_NAME: (.|\n)*RoleSessionName"):
        read()


def test_the_first_question_waits_at_random_and_later_ones_do_not(
    alone: pytest.MonkeyPatch, token: Path, store: Server
) -> None:
    pauses: list[float] = []
    alone.setattr(identities, "FIRST_CALL_SPREAD_S", 3.0)
    alone.setattr(identities.time, "sleep", pauses.append)
    with answering(lambda request: granted("KEY")) as sts:
        alone.setenv("AWS_ENDPOINT_URL_STS", sts.endpoint)
        for name in ("one", "two", "three"):
            alone.setenv("AWS_ROLE_SESSION_NAME", name)
            read()
        later = datetime.now(UTC) + timedelta(minutes=50)
        alone.setattr(renewal, "now", lambda: later)
        read()
    assert len(sts.requests) == 4
    first, last = pauses[:3], pauses[3:]
    assert len(set(first)) == 3
    assert all(0 <= pause <= 3 for pause in first)
    assert last == [0.0]


def test_pod_identity_gives_keys_for_a_token_and_gives_them_anew(
    alone: pytest.MonkeyPatch, store: Server, tmp_path: Path
) -> None:
    def agent(request: Request) -> Response:
        number = request.headers["authorization"].removeprefix("pod-token-")
        end = renewal.now() + timedelta(hours=6)
        keys = {"AccessKeyId": f"POD{number}", "SecretAccessKey": "secret", "Token": "session"}
        return Response(200, json.dumps(keys | {"Expiration": end.isoformat()}).encode())

    (tmp_path / "token").write_text("pod-token-1")
    with answering(agent) as server:
        alone.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.endpoint}/v1/credentials")
        alone.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
        read()
        (tmp_path / "token").write_text("pod-token-2")
        later = datetime.now(UTC) + timedelta(hours=5)
        alone.setattr(renewal, "now", lambda: later)
        read()
    assert [request.access_key for request in store.requests] == ["POD1", "POD2"]
    assert {request.path for request in server.requests} == {"/v1/credentials"}


def test_a_client_is_built_before_anybody_is_asked(alone: pytest.MonkeyPatch, token: Path) -> None:
    alone.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")
    assert connect() is connect()


def granted(access_key: str) -> Response:
    end = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    keys = (
        f"<AccessKeyId>{access_key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>"
        f"<SessionToken>session</SessionToken><Expiration>{end}</Expiration>"
    )
    call = "AssumeRoleWithWebIdentity"
    result = f"<{call}Result><Credentials>{keys}</Credentials></{call}Result>"
    return Response(200, f"<{call}Response>{result}</{call}Response>".encode(), {"Content-Type": "text/xml"})
