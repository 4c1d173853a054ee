"""A server on loopback that answers as a function says, and keeps what it was asked: S3, STS, an agent."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """One request; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def access_key(self) -> str | None:
        """Who signed it; None if nobody did."""
        found = re.search(r"Credential=([^/]+)/", self.headers.get("authorization", ""))
        return found[1] if found else None


@dataclass(frozen=True)
class Response:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Server:
    endpoint: str
    requests: list[Request] = field(default_factory=list)


def refusal(status: int, code: str, message: str = "on purpose", **headers: str) -> Response:
    """As S3 words it."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return Response(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def sts_refusal(status: int, code: str, message: str = "on purpose") -> Response:
    """As STS words it."""
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    return Response(status, f"<ErrorResponse>{error}</ErrorResponse>".encode())


@contextmanager
def answering(
    answer: Callable[[Request], Response], tls: tuple[Path, Path] | None = None, host: str = "127.0.0.1"
) -> Iterator[Server]:
    """Every request is kept, then given to `answer`. `host` is how the endpoint calls this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            if context is not None:  # in the connection's own thread: a handshake may fail
                self.request = context.wrap_socket(self.request, server_side=True)
            super().setup()

        def log_message(self, format: str, *args: object) -> None:
            pass

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, body)
            state.requests.append(request)
            said = answer(request)
            self.send_response_only(said.status)
            for name, value in {"Content-Length": str(len(said.body)), **said.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said.body)

        do_GET = do_HEAD = do_POST = do_PUT = handle_any  # noqa: N815

    context = None
    if tls is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*tls)
    server = _Quiet(("127.0.0.1", 0), Handler)
    state = Server(f"{'https' if tls else 'http'}://{host}:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that do not trust us go away."""
