"""Proxies: what goes by them, what goes directly, and what is said of those that fail."""

from __future__ import annotations

import base64
import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from ssl import Purpose, SSLContext, create_default_context
from typing import Any

import pytest

from tests.wan_runner.store.answering import Response, answering
from tests.wan_runner.store.certificates import make_authority
from wan_core.errors import AccessDenied, NetworkError
from wan_runner.store import connection
from wan_runner.store.proxies import choose_proxies
from wan_runner.store.s3 import read_input

IMAGE = b"image"
PASSWORD = "canary-password"


@dataclass
class Proxy:
    """What a proxy was asked: `CONNECT host:port`, or `GET http://...`."""

    address: str
    lines: list[str] = field(default_factory=list)
    wants: str | None = None  # user:password


@contextmanager
def running_proxy(target: str, tls: SSLContext | None = None) -> Iterator[Proxy]:
    """A proxy that brings every request to `target`, whatever host it names: nothing here resolves names."""
    host, _, port = target.rpartition("/")[2].partition(":")

    class Handler(socketserver.StreamRequestHandler):
        def setup(self) -> None:
            if tls is not None:
                self.request = tls.wrap_socket(self.request, server_side=True)
            super().setup()

        def handle(self) -> None:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += self.request.recv(1) or b"\r\n\r\n"
            line = head.partition(b"\r\n")[0].decode()
            proxy.lines.append(line.rpartition(" ")[0])
            if proxy.wants and base64.b64encode(proxy.wants.encode()) not in head:
                self.request.sendall(
                    b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
                return
            with socket.create_connection((host, int(port))) as other:
                if line.startswith("CONNECT"):
                    self.request.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                else:
                    other.sendall(head)
                _pump(self.request, other)

    server = _Server(("127.0.0.1", 0), Handler)
    proxy = Proxy(f"127.0.0.1:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that do not trust us go away."""


def _pump(one: socket.socket, other: socket.socket) -> None:
    """Until either end is closed."""
    to = {one: other, other: one}
    while True:
        for source in select.select(list(to), [], [])[0]:
            data = source.recv(65536)
            if not data:
                return
            to[source].sendall(data)
        while getattr(one, "pending", int)():
            other.sendall(one.recv(65536))


@pytest.fixture
def client(aws: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    aws.setattr(connection, "ATTEMPTS", 1)
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "ALL_PROXY"):
        aws.delenv(name, raising=False)
        aws.delenv(name.lower(), raising=False)
    return aws


def read() -> bytes:
    return read_input("s3://inputs/a.png", max_bytes=100)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy"])
def test_http_goes_by_the_proxy_as_a_whole_request(client: pytest.MonkeyPatch, variable: str) -> None:
    with answering(lambda request: Response(200, IMAGE)) as s3, running_proxy(s3.endpoint) as proxy:
        client.setenv("AWS_ENDPOINT_URL_S3", "http://s3.example.test:9000")
        client.setenv(variable, f"http://{proxy.address}")
        assert read() == IMAGE
    assert proxy.lines == ["GET http://s3.example.test:9000/inputs/a.png"]


@pytest.mark.parametrize(
    ("style", "asked"),
    [
        ("path", "http://s3.example.test/inputs/a.png"),
        ("virtual", "http://inputs.s3.example.test/a.png"),
        ("", "http://s3.example.test/inputs/a.png"),
    ],
)
def test_buckets_are_addressed_as_is_asked_for(client: pytest.MonkeyPatch, style: str, asked: str) -> None:
    with answering(lambda request: Response(200, IMAGE)) as s3, running_proxy(s3.endpoint) as proxy:
        client.setenv("AWS_ENDPOINT_URL_S3", "http://s3.example.test")
        client.setenv("HTTP_PROXY", f"http://{proxy.address}")
        client.setenv("WAN_S3_ADDRESSING_STYLE", style)
        assert read() == IMAGE
    assert proxy.lines == [f"GET {asked}"]


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
@pytest.mark.parametrize(
    "proxy_tls", [False, True], ids=["plain proxy", "proxy with TLS of its own authority"]
)
def test_https_goes_through_the_proxy_unread(
    client: pytest.MonkeyPatch, tmp_path: Path, variable: str, proxy_tls: bool
) -> None:
    authority = make_authority(tmp_path, "our-authority")
    context = create_default_context(Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.sign(tmp_path, "127.0.0.1"))
    pair = authority.sign(tmp_path, "s3.example.test")
    with (
        answering(lambda request: Response(200, IMAGE), tls=pair) as s3,
        running_proxy(s3.endpoint, context if proxy_tls else None) as proxy,
    ):
        client.setenv("AWS_CA_BUNDLE", str(authority.file))
        client.setenv("AWS_ENDPOINT_URL_S3", "https://s3.example.test")
        client.setenv(variable, f"{'https' if proxy_tls else 'http'}://{proxy.address}")
        assert read() == IMAGE
    assert proxy.lines == ["CONNECT s3.example.test:443"]


@pytest.mark.parametrize("excepted", [".example.test", "s3.example.test", "*"])
def test_what_no_proxy_names_goes_directly(client: pytest.MonkeyPatch, excepted: str) -> None:
    with answering(lambda request: Response(200, IMAGE)) as s3, running_proxy(s3.endpoint) as proxy:
        client.setenv("AWS_ENDPOINT_URL_S3", "http://s3.example.test:9000")
        client.setenv("HTTP_PROXY", f"http://{proxy.address}")
        client.setenv("NO_PROXY", excepted)
        with pytest.raises(NetworkError, match=r"s3\.example\.test does not resolve"):
            read()
    assert proxy.lines == []


@pytest.mark.parametrize(
    ("endpoint", "excepted", "chosen"),
    [
        ("http://127.0.0.1:9000", "", {}),
        ("http://localhost:9000", "", {}),
        ("http://[::1]:9000", "", {}),
        ("http://10.1.2.3:9000", "10.0.0.0/8", {}),
        ("http://10.1.2.3:9000", ".svc, 10.1.2.3", {}),
        ("http://[fd00::5]", "fd00::/8", {}),
        ("http://11.1.2.3:9000", "10.0.0.0/8", None),
        ("http://s3.example.com", "10.0.0.0/8", None),
        (None, "", None),
    ],
)
def test_this_machine_and_excepted_networks_are_reached_directly(
    endpoint: str | None, excepted: str, chosen: dict[str, str] | None
) -> None:
    assert choose_proxies(endpoint, {"NO_PROXY": excepted}) == chosen


def test_a_proxy_that_is_not_there_is_named(client: pytest.MonkeyPatch) -> None:
    client.setenv("AWS_ENDPOINT_URL_S3", "https://s3.example.test")
    client.setenv("HTTPS_PROXY", f"http://me:{PASSWORD}@127.0.0.1:9")
    with pytest.raises(NetworkError, match=r"the proxy 127\.0\.0\.1:9 on the way to s3://inputs/a") as caught:
        read()
    assert "HTTPS_PROXY" in caught.value.advice
    assert PASSWORD not in caught.value.message


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_credentials_is_told_from_s3(client: pytest.MonkeyPatch, scheme: str) -> None:
    with answering(lambda request: Response(200, IMAGE)) as s3, running_proxy(s3.endpoint) as proxy:
        proxy.wants = f"me:{PASSWORD}"
        client.setenv("AWS_ENDPOINT_URL_S3", f"{scheme}://s3.example.test")
        client.setenv("HTTP_PROXY", f"http://{proxy.address}")
        client.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        with pytest.raises(AccessDenied, match="the proxy") as caught:
            read()
        assert "HTTPS_PROXY" in caught.value.advice
        client.setenv("HTTP_PROXY", f"http://me:{PASSWORD}@{proxy.address}")
        if scheme == "http":
            assert read() == IMAGE


def test_a_proxy_that_is_not_trusted_is_named(client: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority, other = make_authority(tmp_path, "our-authority"), make_authority(tmp_path, "another")
    context = create_default_context(Purpose.CLIENT_AUTH)
    context.load_cert_chain(*other.sign(tmp_path, "127.0.0.1"))
    with running_proxy("http://127.0.0.1:9", context) as proxy:
        client.setenv("AWS_CA_BUNDLE", str(authority.file))
        client.setenv("AWS_ENDPOINT_URL_S3", "https://s3.example.test")
        client.setenv("HTTPS_PROXY", f"https://{proxy.address}")
        with pytest.raises(NetworkError, match=r"no trusted connection to the proxy 127\.0\.0\.1") as caught:
            read()
    assert "AWS_CA_BUNDLE" in caught.value.advice
