"""Where runners of local mode send their progress: an HTTP endpoint on loopback, one bearer token an attempt.

A report is believed only if its token, uid and attempt belong together. Nothing else can be done here.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from pydantic import ValidationError

from wan_core.task import Progress

PATH = "/v1/progress"
BODY_MAX_BYTES = 64 * 1024
SOCKET_TIMEOUT_S = 5.0


def read_report(body: bytes) -> Progress:
    """The report as it came, but for its time, which is now. Raises pydantic's ValidationError."""
    return Progress.model_validate_json(body).model_copy(update={"time": datetime.now(UTC)})


class ReportServer:
    """Owns the listening socket and its thread; `receive` gets each believed report, in some thread."""

    def __init__(self, uid: str, receive: Callable[[Progress], None]) -> None:
        self._uid = uid
        self._receive = receive
        self._tokens: dict[int, str] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}{PATH}"

    def issue_token(self, attempt: int) -> str:
        """A new token for this attempt; an older one of it is void."""
        self._tokens[attempt] = secrets.token_urlsafe(32)
        return self._tokens[attempt]

    def accept(self, authorization: str, body: bytes) -> HTTPStatus:
        """Hand the report on if it is believed; the answer either way. `time` becomes that of arrival."""
        token = authorization.removeprefix("Bearer ").encode()
        attempts = [n for n, known in self._tokens.items() if hmac.compare_digest(known.encode(), token)]
        if not attempts:
            return HTTPStatus.UNAUTHORIZED
        try:
            report = read_report(body)
        except ValidationError:
            return HTTPStatus.BAD_REQUEST
        if report.uid != self._uid or report.attempt not in attempts:
            return HTTPStatus.FORBIDDEN
        self._receive(report)
        return HTTPStatus.NO_CONTENT

    def __enter__(self) -> ReportServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        accept = self.accept

        class Handler(BaseHTTPRequestHandler):
            timeout = SOCKET_TIMEOUT_S

            def do_POST(self) -> None:
                length = self.headers.get("Content-Length", "")
                if self.path != PATH:
                    self._answer(HTTPStatus.NOT_FOUND)
                elif not length.isdigit():
                    self._answer(HTTPStatus.LENGTH_REQUIRED)
                elif int(length) > BODY_MAX_BYTES:
                    self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                else:
                    self._answer(accept(self.headers.get("Authorization", ""), self.rfile.read(int(length))))

            def _answer(self, status: HTTPStatus) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.send_header("Connection", "close")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Reports are not news."""

        return Handler
