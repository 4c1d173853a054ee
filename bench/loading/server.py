"""An S3 on loopback that is in nobody's way: bytes go by sendfile, or through OpenSSL, a thread a connection.

    python -m bench.loading.server FOLDER SOURCE [--tls CERTIFICATE KEY]

Prints one line of JSON, {"http": port, ...}, and serves until standard input is closed. There are two kinds
of objects. Any path below /any holds as many bytes as its last part says: those of the file SOURCE, over and
over again, so that objects are larger than what the server keeps. Any other path is a file below FOLDER.

HEAD and GET with Range and If-Match as S3 answers them, ETag, Content-Range. Connections to the ports
"capped" get at most CAP bytes a second each. Signatures are not looked at; there is no listing, no PUT.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import re
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

CAP = 90 * 2**20  # bytes a second, about what S3 gives a connection
PIECE_BYTES = 2**20  # what OpenSSL is given at once
PACED_BYTES = 2**18  # what a capped connection is given at once
LAG_S = 0.05  # so much of what a capped connection slept too long is made good
HEAD_BYTES = 64 * 2**10  # of a request
ANY = "any"


@dataclass(frozen=True)
class Opened:
    """A file that is not empty, by descriptor and mapped."""

    descriptor: int
    size: int
    view: memoryview


@dataclass(frozen=True)
class Stored:
    """An object: the bytes of `file`, over and over until there are `size`."""

    file: Opened
    size: int
    etag: str


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]


def key_of(size: int) -> str:
    """The key, in the bucket ANY, of an object of so many bytes."""
    return f"model/{size}"


class Objects:
    """What is served. Owns the source's file and those of the folder that were asked for."""

    def __init__(self, folder: Path, source: Path):
        self._folder, self._source = folder, _open(source)
        self._opened: dict[str, Opened] = {}
        self._lock = threading.Lock()

    def find(self, path: str) -> Stored | None:
        last = path.rpartition("/")[2]
        if path.startswith(f"/{ANY}/"):
            return Stored(self._source, int(last), f'"{last}-any"') if last.isdecimal() else None
        file = self._folder / path.lstrip("/")
        if not file.is_file():
            return None
        with self._lock:
            if path not in self._opened:
                self._opened[path] = _open(file)
        opened = self._opened[path]
        return Stored(opened, opened.size, f'"{opened.size}-{file.stat().st_mtime_ns}"')


def _open(path: Path) -> Opened:
    descriptor = os.open(path, os.O_RDONLY)
    size = os.fstat(descriptor).st_size
    return Opened(descriptor, size, memoryview(mmap.mmap(descriptor, size, prot=mmap.PROT_READ)))


class Pacer:
    """Lets bytes go at `rate`; what the other side takes too late is lost to it, as with S3."""

    def __init__(self, rate: float):
        self._rate, self._due_s = rate, 0.0

    def wait(self, count: int) -> None:
        now = time.monotonic()
        self._due_s = max(self._due_s, now - LAG_S) + count / self._rate
        time.sleep(max(0.0, self._due_s - now))


def listen(objects: Objects, context: ssl.SSLContext | None, cap: float | None) -> int:
    """Serves on a port of its own, in threads that nobody waits for; returns the port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(connection, objects, context, cap), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return int(listener.getsockname()[1])


def serve(
    connection: socket.socket, objects: Objects, context: ssl.SSLContext | None, cap: float | None
) -> None:
    """All requests of one connection."""
    pacer = Pacer(cap) if cap else None
    with suppress(OSError, ValueError):  # clients go when they like
        if context is not None:
            connection = context.wrap_socket(connection, server_side=True)
        with connection:
            rest = b""
            while True:
                request, rest = read_request(connection, rest)
                if request is None:
                    return
                answer(connection, request, objects, pacer)


def read_request(connection: socket.socket, data: bytes) -> tuple[Request | None, bytes]:
    """The next request, and what was read beyond it; None when there is none any more."""
    while b"\r\n\r\n" not in data:
        more = connection.recv(HEAD_BYTES)
        if not more or len(data) > HEAD_BYTES:
            return None, b""
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    path = re.sub(r"^https?://[^/]*", "", target).partition("?")[0]
    headers = {name.strip().lower(): value.strip() for name, _, value in (li.partition(":") for li in lines)}
    return Request(method, path, headers), rest


def answer(connection: socket.socket, request: Request, objects: Objects, pacer: Pacer | None) -> None:
    stored = objects.find(request.path)
    if stored is None:
        refuse(connection, request, HTTPStatus.NOT_FOUND, "NoSuchKey")
        return
    if request.headers.get("if-match", stored.etag) not in ("*", stored.etag):
        refuse(connection, request, HTTPStatus.PRECONDITION_FAILED, "PreconditionFailed")
        return
    span = choose_span(request.headers.get("range", ""), stored.size)
    if span is None:
        refuse(connection, request, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "InvalidRange")
        return
    start, end = span
    lines = [
        "HTTP/1.1 206 Partial Content" if "range" in request.headers else "HTTP/1.1 200 OK",
        f"Content-Length: {end - start}",
        f"ETag: {stored.etag}",
        "Accept-Ranges: bytes",
        "Last-Modified: Sat, 21 Nov 2026 00:00:00 GMT",
        "Content-Type: binary/octet-stream",
    ]
    if "range" in request.headers:
        lines.append(f"Content-Range: bytes {start}-{end - 1}/{stored.size}")
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    if request.method == "GET":
        send_body(connection, stored, start, end, pacer)


def choose_span(wanted: str, size: int) -> tuple[int, int] | None:
    """The bytes that a Range header asks for; None if there are none of them."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted)
    if not found:
        return 0, size
    first, last = found.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    return (start, end) if start < end else None


def refuse(connection: socket.socket, request: Request, status: HTTPStatus, code: str) -> None:
    body = f"<Error><Code>{code}</Code><Message>{status.phrase}</Message></Error>".encode()
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    connection.sendall(head + (b"" if request.method == "HEAD" else body))


def send_body(connection: socket.socket, stored: Stored, start: int, end: int, pacer: Pacer | None) -> None:
    send = choose_send(connection, stored.file)
    while start < end:
        offset = start % stored.file.size
        count = min(end - start, stored.file.size - offset)
        if pacer is not None:
            count = min(count, PACED_BYTES)
            pacer.wait(count)
        start += send(offset, count)


def choose_send(connection: socket.socket, file: Opened) -> Callable[[int, int], int]:
    """How bytes of the file get onto the wire: (offset, count) to how many went."""
    if isinstance(connection, ssl.SSLSocket):
        return lambda offset, count: connection.send(file.view[offset : offset + min(count, PIECE_BYTES)])
    return lambda offset, count: os.sendfile(connection.fileno(), file.descriptor, offset, count)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("source", type=Path, help="the file that objects below /any are made of")
    parser.add_argument("--cap", type=float, default=CAP, help="bytes a second of a capped connection")
    parser.add_argument("--tls", type=Path, nargs=2, metavar=("CERTIFICATE", "KEY"))
    chosen = parser.parse_args()
    objects = Objects(chosen.folder, chosen.source)
    ports = {"http": listen(objects, None, None), "http capped": listen(objects, None, chosen.cap)}
    if chosen.tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*chosen.tls)
        ports |= {"tls": listen(objects, context, None), "tls capped": listen(objects, context, chosen.cap)}
    print(json.dumps(ports), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
