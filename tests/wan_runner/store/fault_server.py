"""An S3 on loopback that misbehaves by script: real sockets, a thread a connection, plain HTTP or TLS.

    with running() as server:                      # or running(tls=(certificate, key))
        etag = server.put("weights", "m/a.bin", data)
        server.when(Answer(503, "SlowDown", retry_after=1), times=3)
        server.when(Flip(at=70), covering=70)      # only a request whose range holds byte 70
        ... AWS_ENDPOINT_URL_S3 = server.endpoint ...
        server.bytes_served, server.asked, server.most_at_once

GET and HEAD with Range, If-Match, ETag and the stored CRC64NVME of the whole (asked for by
x-amz-checksum-mode; never with a range, as on S3). Each request meets the first rule that fits it and is
not used up. `connection_bytes_per_s` caps every connection; `bytes_served` counts body bytes that the kernel
took.
Signatures are not checked; there is no PUT, no listing, no versions.
"""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from awscrt import checksums

PIECE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Answer:
    """An error instead of the object: 503 SlowDown, 403 AccessDenied, 400 ExpiredToken, ..."""

    status: int
    code: str
    retry_after: int | None = None


@dataclass(frozen=True)
class Lost:
    """The connection closes without an answer."""


@dataclass(frozen=True)
class Cut:
    """The connection closes after so many bytes of the body."""

    after: int


@dataclass(frozen=True)
class Stall:
    """Silence after so many bytes of the body, until the client goes or the server is closed."""

    after: int


@dataclass(frozen=True)
class Slow:
    """The body comes at this rate."""

    bytes_per_s: float


@dataclass(frozen=True)
class Flip:
    """One bit of the object's byte `at` is wrong on the wire."""

    at: int


@dataclass(frozen=True)
class Short:
    """The answer leaves out the last bytes that were asked for, and says so in its length."""

    by: int


@dataclass(frozen=True)
class Replace:
    """Another object takes the name before the request is looked at."""

    data: bytes
    checksum: bool = True
    etag: str | None = None


Fault = Answer | Lost | Cut | Stall | Slow | Flip | Short | Replace


@dataclass(frozen=True)
class Stored:
    data: bytes
    etag: str
    crc64nvme: int | None


@dataclass(frozen=True)
class Asked:
    """One request as it came: `first` and `last` byte of its range, both None without one."""

    method: str
    path: str
    first: int | None
    last: int | None
    if_match: str | None


@dataclass
class Rule:
    fault: Fault
    times: int | None
    path: str | None
    covering: int | None
    method: str

    def fits(self, asked: Asked) -> bool:
        holds = self.covering is None or (asked.first or 0) <= self.covering <= (
            self.covering if asked.last is None else asked.last
        )
        return self.times != 0 and asked.method == self.method and self.path in (None, asked.path) and holds


@dataclass
class FaultServer:
    """What the server holds and has seen; every field may be changed while it runs."""

    endpoint: str = ""
    objects: dict[str, Stored] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    connection_bytes_per_s: float | None = None
    serve_at_most: int | None = None  # bytes in all; bodies wait there until `let_flow`
    knows_conditions: bool = True
    knows_ranges: bool = True
    asked: list[Asked] = field(default_factory=list)
    bytes_served: int = 0
    connections: int = 0  # open now
    connections_made: int = 0
    busy: int = 0  # bodies being sent now
    most_at_once: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)
    closing: threading.Event = field(default_factory=threading.Event)

    def put(
        self, bucket: str, key: str, data: bytes, *, checksum: bool = True, etag: str | None = None
    ) -> str:
        """Stores an object and returns its ETag, quotes included; its MD5 unless given."""
        etag = etag or f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
        crc = checksums.crc64nvme(data) if checksum else None
        self.objects[f"/{bucket}/{key}"] = Stored(data, etag, crc)
        return etag

    def when(
        self,
        fault: Fault,
        *,
        times: int | None = 1,
        path: str | None = None,
        covering: int | None = None,
        method: str = "GET",
    ) -> None:
        """From now on the next `times` requests (None: all) that fit meet `fault`; `path` is /bucket/key."""
        with self.changed:
            self.rules.append(Rule(fault, times, path, covering, method))

    def gets(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.method == "GET"]

    def served(self, timeout_s: float = 60) -> int:
        """`bytes_served` once nothing is being sent: a client may be done before the last are counted."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.busy == 0, timeout_s), f"{self.busy} are being sent"
            return self.bytes_served

    def wait_for_bytes(self, count: int, timeout_s: float = 120) -> None:
        """Returns when `count` bytes were served in all."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.bytes_served >= count, timeout_s):
                raise AssertionError(f"{self.bytes_served} bytes served after {timeout_s} s, not {count}")

    def let_flow(self) -> None:
        """Ends what `serve_at_most` has begun."""
        with self.changed:
            self.serve_at_most = None
            self.changed.notify_all()

    def wait_until_allowed(self) -> None:
        with self.changed:
            self.changed.wait_for(
                lambda: (
                    self.serve_at_most is None
                    or self.bytes_served < self.serve_at_most
                    or self.closing.is_set()
                )
            )

    def take(self, asked: Asked) -> Fault | None:
        with self.changed:
            self.asked.append(asked)
            rule = next((rule for rule in self.rules if rule.fits(asked)), None)
            if rule is None:
                return None
            rule.times = None if rule.times is None else rule.times - 1
            return rule.fault

    def count(self, *, served: int = 0, busy: int = 0, connections: int = 0) -> None:
        with self.changed:
            self.bytes_served += served
            self.busy += busy
            self.connections += connections
            self.connections_made += max(connections, 0)
            self.most_at_once = max(self.most_at_once, self.busy)
            self.changed.notify_all()


@contextmanager
def running(tls: tuple[Path, Path] | None = None) -> Iterator[FaultServer]:
    """A server without objects or rules; nobody is left waiting in it afterwards."""
    state = FaultServer()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    if tls is not None:
        server.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.context.load_cert_chain(*tls)
    state.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.closing.set()
        state.let_flow()
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    context: ssl.SSLContext | None = None

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are part of the game."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: FaultServer

    def setup(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = self.server.context  # type: ignore[attr-defined]
        if context is not None:  # here, in the connection's own thread: a handshake may fail or never end
            self.request = context.wrap_socket(self.request, server_side=True)
        self.state.count(connections=1)
        super().setup()

    def finish(self) -> None:
        self.state.count(connections=-1)
        with suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def _serve(self) -> None:
        wanted = self.headers.get("Range", "") if self.state.knows_ranges else ""
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
        first = int(found[1]) if found else None
        last = int(found[2]) if found and found[2] else None
        path = self.path.partition("?")[0]
        asked = Asked(self.command, path, first, last, self.headers.get("If-Match"))
        fault = self.state.take(asked)
        if isinstance(fault, Lost):
            self.close_connection = True
            return
        if isinstance(fault, Answer):
            self._refuse(fault)
            return
        if isinstance(fault, Replace):
            self.state.put(*path[1:].split("/", 1), fault.data, checksum=fault.checksum, etag=fault.etag)
        self._answer(asked, fault)

    def _refuse(self, answer: Answer) -> None:
        body = f"<Error><Code>{answer.code}</Code><Message>on purpose</Message></Error>".encode()
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(body)))
        if answer.retry_after is not None:
            self.send_header("Retry-After", str(answer.retry_after))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _answer(self, asked: Asked, fault: Fault | None) -> None:
        stored = self.state.objects.get(asked.path)
        if stored is None:
            self._refuse(Answer(404, "NoSuchKey"))
        elif self.state.knows_conditions and asked.if_match not in (None, "*", stored.etag):
            self._refuse(Answer(412, "PreconditionFailed"))
        elif asked.first is not None and asked.first >= len(stored.data):
            self._refuse(Answer(416, "InvalidRange"))
        else:
            self._send(stored, asked, fault)

    def _send(self, stored: Stored, asked: Asked, fault: Fault | None) -> None:
        size, first = len(stored.data), asked.first or 0
        stop = size if asked.last is None else min(asked.last + 1, size)
        if isinstance(fault, Short):
            stop = max(first, stop - fault.by)
        self.send_response(200 if asked.first is None else 206)
        self.send_header("Content-Length", str(stop - first))
        self.send_header("ETag", stored.etag)
        if asked.first is not None:
            self.send_header("Content-Range", f"bytes {first}-{stop - 1}/{size}")
        elif stored.crc64nvme is not None and self.headers.get("x-amz-checksum-mode") == "ENABLED":
            crc = base64.b64encode(stored.crc64nvme.to_bytes(8, "big")).decode()
            self.send_header("x-amz-checksum-crc64nvme", crc)
            self.send_header("x-amz-checksum-type", "FULL_OBJECT")
        self.end_headers()
        if self.command == "HEAD":
            return
        self.state.count(busy=1)
        try:
            self._send_body(stored.data, first, stop, fault)
        finally:
            self.state.count(busy=-1)

    def _send_body(self, data: bytes, first: int, stop: int, fault: Fault | None) -> None:
        end = min(stop, first + fault.after) if isinstance(fault, Cut | Stall) else stop
        rate = fault.bytes_per_s if isinstance(fault, Slow) else self.state.connection_bytes_per_s
        view, begun_s = memoryview(data), time.monotonic()
        step = PIECE_BYTES if self.state.serve_at_most is None else 4096
        step = step if rate is None else max(1, min(step, int(rate / 20)))
        for at in range(first, end, step):
            piece = view[at : min(at + step, end)]
            if isinstance(fault, Flip) and at <= fault.at < at + len(piece):
                piece = memoryview(_flipped(piece, fault.at - at))
            self.state.wait_until_allowed()
            self.wfile.write(piece)
            self.state.count(served=len(piece))
            if rate is not None:
                due_s = begun_s + (at + len(piece) - first) / rate
                if self.state.closing.wait(max(0.0, due_s - time.monotonic())):
                    return
        if isinstance(fault, Stall):
            self._hold()
        if isinstance(fault, Cut | Stall):
            self.close_connection = True

    def _hold(self) -> None:
        """Waits until the client closes the connection."""
        self.connection.settimeout(0.05)
        while not self.state.closing.is_set():
            try:
                if not self.connection.recv(1):
                    return
            except TimeoutError:
                continue
            except OSError:
                return


def _flipped(piece: memoryview, at: int) -> bytes:
    return bytes(piece[:at]) + bytes([piece[at] ^ 1]) + bytes(piece[at + 1 :])
