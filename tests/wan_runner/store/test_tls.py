"""TLS with an authority of one's own: what is trusted, and what is said of what is not."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from tests.wan_runner.store.answering import Response, Server, answering
from tests.wan_runner.store.certificates import DAY, Authority, make_authority
from wan_core.errors import InvalidInput, NetworkError
from wan_runner.store import connection
from wan_runner.store.s3 import connect, read_input

IMAGE = b"image"
HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("ours"), "our-authority")


@pytest.fixture(scope="module")
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def client(aws: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    aws.setattr(connection, "ATTEMPTS", 1)
    return aws


def serve(stack: ExitStack, ours: Authority, folder: Path, *hosts: str, **life: timedelta) -> Server:
    pair = ours.sign(folder, *hosts, **life)
    return stack.enter_context(answering(lambda request: Response(200, IMAGE), tls=pair))


def read() -> bytes:
    return read_input("s3://inputs/a.png", max_bytes=100)


@pytest.mark.parametrize("hosts", [(HOST,), ("localhost", HOST)], ids=["by address", "by name"])
def test_an_authority_of_ones_own_is_trusted_when_it_is_named(
    client: pytest.MonkeyPatch, stack: ExitStack, ours: Authority, tmp_path: Path, hosts: tuple[str, ...]
) -> None:
    server = serve(stack, ours, tmp_path, *hosts)
    client.setenv("AWS_CA_BUNDLE", str(ours.file))
    client.setenv("AWS_ENDPOINT_URL_S3", server.endpoint.replace(HOST, hosts[0]))
    assert read() == IMAGE
    assert server.endpoint.startswith("https://")


UNTRUSTED = {
    "an authority that nobody named": (
        {},
        {"AWS_CA_BUNDLE": None},
        r"not by an authority that is trusted here",
        "in AWS_CA_BUNDLE",
    ),
    "another authority": (
        {},
        {"AWS_CA_BUNDLE": "other"},
        r"not by an authority that is trusted here",
        "in AWS_CA_BUNDLE",
    ),
    "a certificate that has ended": (
        {"begins": -2 * DAY, "ends": -DAY},
        {},
        "the certificate of 127.0.0.1 has ended",
        "Renew the certificate",
    ),
    "a certificate of tomorrow": (
        {"begins": DAY, "ends": 2 * DAY},
        {},
        "the certificate of 127.0.0.1 is not valid yet",
        "correct this machine's clock",
    ),
}


@pytest.mark.parametrize(("life", "settings", "said", "advice"), UNTRUSTED.values(), ids=UNTRUSTED)
def test_what_is_wrong_with_a_certificate_is_said(
    client: pytest.MonkeyPatch,
    stack: ExitStack,
    ours: Authority,
    tmp_path: Path,
    life: dict[str, timedelta],
    settings: dict[str, str | None],
    said: str,
    advice: str,
) -> None:
    server = serve(stack, ours, tmp_path, HOST, **life)
    bundle = settings.get("AWS_CA_BUNDLE", str(ours.file))
    if bundle == "other":
        bundle = str(make_authority(tmp_path, "another-authority").file)
    if bundle:
        client.setenv("AWS_CA_BUNDLE", bundle)
    client.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
    with pytest.raises(NetworkError) as caught:
        read()
    assert said in caught.value.message
    assert f"s3://inputs/a.png at {server.endpoint}" in caught.value.message
    assert advice in caught.value.advice
    assert server.requests == []


@pytest.mark.parametrize("name", ["s3.example.com", "10.0.0.1"], ids=["a name", "an address"])
def test_a_certificate_for_another_host_is_told_with_both(
    client: pytest.MonkeyPatch, stack: ExitStack, ours: Authority, tmp_path: Path, name: str
) -> None:
    server = serve(stack, ours, tmp_path, name)
    client.setenv("AWS_CA_BUNDLE", str(ours.file))
    client.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
    with pytest.raises(
        NetworkError, match=r"the certificate is not for 127\.0\.0\.1: .*doesn't match '"
    ) as caught:
        read()
    assert "the name that the certificate is for" in caught.value.advice


def test_a_port_that_speaks_no_tls_is_said(client: pytest.MonkeyPatch) -> None:
    with answering(lambda request: Response(200, IMAGE)) as server:
        client.setenv("AWS_ENDPOINT_URL_S3", server.endpoint.replace("http:", "https:"))
        with pytest.raises(NetworkError, match="no TLS connection to s3://inputs/a") as caught:
            read()
    assert "speaks TLS on this port" in caught.value.advice


def test_a_connection_that_is_closed_in_the_handshake_is_a_network_error(client: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, 0)) as listener:
        client.setenv("AWS_ENDPOINT_URL_S3", f"https://{HOST}:{listener.getsockname()[1]}")
        client.setattr(connection, "READ_TIMEOUT_S", 0.2)
        client.setattr(connection, "CONNECT_TIMEOUT_S", 0.2)
        with pytest.raises(NetworkError, match="no answer for s3://inputs/a"):
            read()


def test_a_body_whose_tls_breaks_is_a_network_error(
    client: pytest.MonkeyPatch, ours: Authority, tmp_path: Path
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*ours.sign(tmp_path, HOST))

    def break_body(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(65536)
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
            os.write(tls.fileno(), b"\x17\x03\x03\x00\x20" + bytes(32))  # a record with a wrong MAC
            tls.recv(1)

    with socket.create_server((HOST, 0)) as listener:
        client.setenv("AWS_CA_BUNDLE", str(ours.file))
        client.setenv("AWS_ENDPOINT_URL_S3", f"https://{HOST}:{listener.getsockname()[1]}")
        threading.Thread(target=break_body, args=(listener,), daemon=True).start()
        with pytest.raises(NetworkError, match="no TLS connection to s3://inputs/a"):
            read()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "AWS_CA_BUNDLE: .*/bundle.pem: No such file or directory"),
        ("not a certificate", r"AWS_CA_BUNDLE: .*/bundle.pem holds no certificates \(PEM\)"),
    ],
    ids=["missing", "no PEM"],
)
def test_a_bundle_that_is_none_is_told_before_anybody_is_asked(
    client: pytest.MonkeyPatch, tmp_path: Path, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "bundle.pem").write_text(content)
    client.setenv("AWS_CA_BUNDLE", str(tmp_path / "bundle.pem"))
    with pytest.raises(InvalidInput, match=said):
        connect()
