"""Where a test receives what the runner reports."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class Inbox:
    """An HTTP server for as long as the context is open, which keeps what is posted.

    `answer` is its status, `gate` holds answers back.
    """

    def __init__(self) -> None:
        self.letters: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answer = 204
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Semaphore(0)
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                inbox.letters.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                inbox.headers.append(dict(self.headers))
                inbox.arrived.release()
                inbox.gate.wait(60)
                self.send_response(inbox.answer)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/progress"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gate.set()
        self.server.shutdown()

    def wait_for(self, stage: str, timeout_s: float = 240) -> None:
        """Until a letter of that stage has come; later ones may have come since."""
        while stage not in [letter["stage"] for letter in list(self.letters)]:
            assert self.arrived.acquire(timeout=timeout_s), f"no letter of {stage}"

    def steps(self) -> list[int]:
        return [letter["done"] for letter in self.letters]
