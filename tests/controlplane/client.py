"""A small synchronous client of the Kubernetes API for tests: JSON in, JSON out, typed refusals; only a GET
whose connection was closed under it is sent again.

One kept connection a thread. It knows nothing of kinds: callers give paths, such as
`/apis/batch/v1/namespaces/films/jobs`.
"""

from __future__ import annotations

import http.client
import json
import select
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

Document = dict[str, Any]

JSON = "application/json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


class ApiError(Exception):
    """The API server's refusal: `status` (HTTP), `reason` (its word for it), `message`, the whole `body`."""

    def __init__(self, status: int, body: Document, asked: str, retry_after_s: float | None = None):
        self.status, self.body, self.retry_after_s = status, body, retry_after_s
        self.reason = str(body.get("reason", ""))
        self.message = str(body.get("message", ""))
        super().__init__(f"{asked}: {status} {self.reason}: {self.message}")


@dataclass
class Api:
    url: str
    ca: Path
    token: str = field(default="", repr=False)
    timeout_s: float = 60

    def __post_init__(self) -> None:
        self._trust = ssl.create_default_context(cafile=str(self.ca))
        self._own = threading.local()

    def get(self, path: str, **query: Any) -> Document:
        return self.request("GET", path, query=query)

    def list(self, path: str, **query: Any) -> list[Document]:
        """Every item, through as many pages as the server makes."""
        items: list[Document] = []
        while True:
            page = self.get(path, **query)
            items += page["items"]
            query["continue"] = page["metadata"].get("continue", "")
            if not query["continue"]:
                return items

    def create(self, path: str, document: Mapping[str, Any], **query: Any) -> Document:
        return self.request("POST", path, document, query=query)

    def replace(self, path: str, document: Mapping[str, Any], **query: Any) -> Document:
        return self.request("PUT", path, document, query=query)

    def patch(self, path: str, document: Any, content_type: str = MERGE, **query: Any) -> Document:
        return self.request("PATCH", path, document, content_type, query)

    def apply(self, path: str, document: Mapping[str, Any], manager: str = "tests", **query: Any) -> Document:
        """Server-side apply; takes the fields over from their owner."""
        return self.request(
            "PATCH", path, document, APPLY, {"fieldManager": manager, "force": "true"} | query
        )

    def delete(self, path: str, options: Mapping[str, Any] | None = None) -> Document:
        """Without `options`, dependents go in the background."""
        return self.request("DELETE", path, options or {"propagationPolicy": "Background"})

    def exists(self, path: str) -> bool:
        try:
            self.get(path)
        except ApiError as refusal:
            if refusal.status == 404:
                return False
            raise
        return True

    def may_list(self, path: str) -> bool:
        """Whether it is allowed to."""
        try:
            self.list(path)
        except ApiError as refusal:
            if refusal.status != 403:
                raise
            return False
        return True

    def watch(
        self, path: str, resource_version: str = "", timeout_s: int = 60, **query: Any
    ) -> Iterator[Document]:
        """Events until the server ends the watch, at the latest after `timeout_s`.

        Raises ApiError for an ERROR event, OSError for a reset. Close the iterator to end the watch.
        """
        asked = {"watch": "true", "timeoutSeconds": timeout_s, "allowWatchBookmarks": "true"} | query
        if resource_version:
            asked["resourceVersion"] = resource_version
        connection = self._connect(timeout_s + 10)
        try:
            connection.request("GET", _target(path, asked), headers=self._headers(JSON))
            response = connection.getresponse()
            if response.status != 200:
                raise _refusal(response, response.read(), f"watch {path}")
            for line in response:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise ApiError(event["object"].get("code", 500), event["object"], f"watch {path}")
                yield event
        except http.client.HTTPException as cut:  # in the middle of a chunk
            raise ConnectionResetError(f"watch {path}: {cut!r}") from cut
        finally:
            connection.close()

    def text(self, path: str, **query: Any) -> str:
        """The body as it is: logs, metrics, /readyz."""
        return self._send("GET", _target(path, query), None, JSON).decode(errors="replace")

    def request(
        self,
        method: str,
        path: str,
        document: Any = None,
        content_type: str = JSON,
        query: Mapping[str, Any] | None = None,
    ) -> Document:
        body = None if document is None else json.dumps(document).encode()
        return json.loads(self._send(method, _target(path, query or {}), body, content_type))  # type: ignore[no-any-return]

    def close(self) -> None:
        """Closes this thread's connection."""
        connection = getattr(self._own, "connection", None)
        if connection is not None:
            connection.close()
            self._own.connection = None

    def _send(self, method: str, target: str, body: bytes | None, content_type: str) -> bytes:
        try:
            return self._send_once(method, target, body, content_type)
        except http.client.RemoteDisconnected:  # the server may close a kept connection at any moment
            if method != "GET":
                raise
            return self._send_once(method, target, body, content_type)

    def _send_once(self, method: str, target: str, body: bytes | None, content_type: str) -> bytes:
        connection = self._kept()
        try:
            connection.request(method, target, body, self._headers(content_type))
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        if response.status >= 300:
            raise _refusal(response, answer, f"{method} {target}")
        return answer

    def _kept(self) -> http.client.HTTPConnection:
        """This thread's connection; a new one where the server has closed the old."""
        connection = getattr(self._own, "connection", None)
        if connection is not None and connection.sock is not None:
            readable, _, _ = select.select([connection.sock], [], [], 0)
            if not readable:  # an idle connection has nothing to read but its end
                return connection  # type: ignore[no-any-return]
            connection.close()
        self._own.connection = self._connect(self.timeout_s)
        return self._own.connection  # type: ignore[no-any-return]

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        place = urlsplit(self.url)
        assert place.hostname is not None
        if place.scheme == "http":
            return http.client.HTTPConnection(place.hostname, place.port, timeout=timeout_s)
        return http.client.HTTPSConnection(place.hostname, place.port, timeout=timeout_s, context=self._trust)

    def _headers(self, content_type: str) -> dict[str, str]:
        headers = {"Content-Type": content_type, "Accept": JSON, "User-Agent": "wan-tests"}
        return {**headers, "Authorization": f"Bearer {self.token}"} if self.token else headers


def _target(path: str, query: Mapping[str, Any]) -> str:
    asked = {name: value for name, value in query.items() if value not in ("", None)}
    return f"{path}?{urlencode(asked)}" if asked else path


def _refusal(response: http.client.HTTPResponse, answer: bytes, asked: str) -> ApiError:
    try:
        body = json.loads(answer)
    except ValueError:
        body = {"message": answer.decode(errors="replace")}
    after = response.headers.get("Retry-After")
    return ApiError(response.status, body, asked, float(after) if after else None)
