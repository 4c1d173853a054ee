"""An S3 on loopback that fails on demand: what a real store does on its bad days, one fault a request."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from wan_runner.store.manifest import File, Manifest


@dataclass
class FaultyS3:
    """Objects and faults by path (`/bucket/key`). Each GET or PUT of a path uses up one of its faults.

    Faults: `flip` one byte, `cut` the body half-way, `hold` the second half until `release` is set, `lost`
    (stored, but the connection closes without an answer), or a status and code such as `503 SlowDown`.
    """

    endpoint: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    requests: list[tuple[str, str]] = field(default_factory=list)
    holding: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    def count(self, method: str, path: str) -> int:
        return self.requests.count((method, path))

    def put_model(self, prefix: str, files: dict[str, bytes], listed: list[File]) -> None:
        """A published model: `files` are what the store has, `listed` what its manifest says."""
        manifest = Manifest(model="m", files=tuple(listed))
        self.objects |= {f"{prefix}/{path}": data for path, data in files.items()}
        self.objects[f"{prefix}/manifest.json"] = json.dumps(manifest.to_dict()).encode()


@contextmanager
def running_server() -> Iterator[ThreadingHTTPServer]:
    """Serves whatever `FaultyS3` was given to it last by `serve_store`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def serve_store(server: ThreadingHTTPServer) -> Iterator[FaultyS3]:
    """A store without objects or faults behind `server`; nobody is left waiting in it."""
    store = FaultyS3(endpoint=f"http://127.0.0.1:{server.server_port}")
    _Handler.store = store
    try:
        yield store
    finally:
        store.release.set()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: FaultyS3

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _begin(self) -> tuple[str, str]:
        self.store = type(self).store  # a request that outlives its test stays with its own store
        path = self.path.partition("?")[0]
        self.store.requests.append((self.command, path))
        queue = self.store.faults[path] if self.command in ("GET", "PUT") else []
        return path, queue.pop(0) if queue else ""

    def _fail(self, fault: str) -> None:
        status, _, code = fault.partition(" ")
        body = f"<Error><Code>{code}</Code><Message>on purpose</Message></Error>".encode()
        self._answer(int(status), body)

    def _answer(self, status: int, body: bytes = b"", length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        path, fault = self._begin()
        if fault[:1].isdigit():
            return self._fail(fault)
        if path not in self.store.objects:
            return self._fail("404 NoSuchKey")
        data = self.store.objects[path]
        if fault == "flip":
            data = bytes([data[0] ^ 1]) + data[1:]
        if fault not in ("cut", "hold"):
            return self._answer(200, data)
        self._answer(200, data[: len(data) // 2], length=len(data))
        self.wfile.flush()
        self.store.holding.set()
        if fault == "hold" and self.store.release.wait(60):
            self.wfile.write(data[len(data) // 2 :])
        self.close_connection = True
        return None

    def do_HEAD(self) -> None:
        path, _ = self._begin()
        if path not in self.store.objects:
            return self._answer(404)
        return self._answer(200, self.store.objects[path], **self.store.metadata.get(path, {}))

    def do_PUT(self) -> None:
        path, fault = self._begin()
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if fault[:1].isdigit():
            return self._fail(fault)
        if self.headers.get("If-None-Match") == "*" and path in self.store.objects:
            return self._fail("412 PreconditionFailed")
        self.store.objects[path] = bytes([data[0] ^ 1]) + data[1:] if fault == "flip" else data
        kept = {n: v for n, v in self.headers.items() if n.lower().startswith("x-amz-meta-")}
        self.store.metadata[path] = kept
        if fault == "lost":
            self.close_connection = True
            return None
        return self._answer(200, ETag='"0"')
