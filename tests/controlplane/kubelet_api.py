"""The kubelet's way to the API server: JSON over one connection pool, patient where the server is not there.

A call is tried again until the server answers it: the server being away, overloaded or broken is weather.
What the server refuses escapes as `Refused`. Nothing here knows what a pod is.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
RETRY_S = (0.1, 2.0)  # first and longest pause before a call is tried again
QUIET_S = 150.0  # a watch sends a bookmark about once a minute; one this silent is dead

log = logging.getLogger(__name__)
Document = dict[str, Any]


class Refused(Exception):
    """The server answered, and not with what was asked for."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message


class WatchEndedError(Exception):
    """The watch cannot go on from where it is: list again."""


@dataclass(frozen=True)
class Access:
    """Where the server is and how it knows us."""

    url: str
    ca: Path
    headers: Mapping[str, str]
    tls: ssl.SSLContext


def read_kubeconfig(path: Path) -> Access:
    """The access of the current context; certificates and keys by file or inline."""
    config = yaml.safe_load(path.read_text())
    context = _named(config["contexts"], config["current-context"])["context"]
    cluster = _named(config["clusters"], context["cluster"])["cluster"]
    user = _named(config["users"], context["user"])["user"]
    ca = _file_of(cluster, "certificate-authority", path.parent)
    tls = ssl.create_default_context(cafile=str(ca))
    if "client-certificate" in user or "client-certificate-data" in user:
        tls.load_cert_chain(
            _file_of(user, "client-certificate", path.parent), _file_of(user, "client-key", path.parent)
        )
    headers = {"User-Agent": "process-kubelet"}
    if "token" in user:
        headers["Authorization"] = f"Bearer {user['token']}"
    return Access(cluster["server"], ca, headers, tls)


def _named(entries: list[Document], name: str) -> Document:
    return next(entry for entry in entries if entry["name"] == name)


def _file_of(entry: Document, key: str, folder: Path) -> Path:
    if key in entry:
        return folder / str(entry[key])
    with tempfile.NamedTemporaryFile(prefix="process-kubelet-", delete=False) as file:
        file.write(base64.b64decode(entry[f"{key}-data"]))
    return Path(file.name)


class Client:
    """Owns the connections. To be made and used within one event loop."""

    def __init__(self, access: Access, connections: int = 16) -> None:
        self.access = access
        self._calls = self._session(connections)
        self._watches = self._session(0)

    def _session(self, connections: int) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(ssl=self.access.tls, limit=connections)
        return aiohttp.ClientSession(self.access.url, connector=connector, headers=dict(self.access.headers))

    async def close(self) -> None:
        await self._calls.close()
        await self._watches.close()

    async def get(self, path: str, **query: str) -> Document:
        return await self.call("GET", path, query=query)

    async def post(self, path: str, body: Document) -> Document:
        return await self.call("POST", path, body)

    async def patch(self, path: str, body: Document, kind: str = STRATEGIC) -> Document:
        return await self.call("PATCH", path, body, kind)

    async def delete(self, path: str, options: Document) -> Document:
        return await self.call("DELETE", path, options)

    async def call(
        self,
        verb: str,
        path: str,
        body: Document | None = None,
        kind: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Document:
        """The server's answer, however long it takes; raises Refused."""
        data = None if body is None else json.dumps(body).encode()
        pause = RETRY_S[0]
        while True:
            try:
                return await self._once(verb, path, data, kind, query)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                log.debug("%s %s: %s", verb, path, error)
            except Refused as error:
                if error.status != 429 and error.status < 500:
                    raise
                log.debug("%s %s: %s", verb, path, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, RETRY_S[1])

    async def _once(
        self, verb: str, path: str, data: bytes | None, kind: str, query: Mapping[str, str] | None
    ) -> Document:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)  # not the wait for a turn
        async with self._calls.request(
            verb, path, data=data, params=query, headers={"Content-Type": kind}, timeout=timeout
        ) as response:
            text = await response.read()
            if response.status >= 400:
                raise Refused(response.status, _message_of(text))
            return json.loads(text)  # type: ignore[no-any-return]

    async def list_all(self, path: str, selector: str) -> tuple[list[Document], str]:
        """Every object, page by page, and the resourceVersion from which to watch."""
        items: list[Document] = []
        query = {"fieldSelector": selector, "limit": "500"}
        while True:
            page = await self.get(path, **query)
            items += page["items"]
            if not (more := page["metadata"].get("continue")):
                return items, page["metadata"]["resourceVersion"]
            query["continue"] = more

    async def watch(self, path: str, selector: str, version: str) -> AsyncIterator[tuple[str, Document]]:
        """(type, object) as they come; goes on where it was after a cut; raises WatchEndedError."""
        while True:
            query = {
                "watch": "true",
                "fieldSelector": selector,
                "resourceVersion": version,
                "allowWatchBookmarks": "true",
            }
            try:
                timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=QUIET_S)
                async with self._watches.get(path, params=query, timeout=timeout) as response:
                    if response.status >= 400:
                        raise WatchEndedError(f"watch: {response.status}")
                    async for line in _lines(response.content):
                        event = json.loads(line)
                        if event["type"] == "ERROR":
                            raise WatchEndedError(event["object"].get("message", "ERROR"))
                        version = event["object"]["metadata"]["resourceVersion"]
                        if event["type"] != "BOOKMARK":
                            yield event["type"], event["object"]
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                log.debug("watch %s: %s", path, error)
                await asyncio.sleep(RETRY_S[0])


def _message_of(text: bytes) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.decode(errors="replace")


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length: an object may be larger than the stream's own limit."""
    parts: list[bytes] = []
    async for chunk in stream.iter_any():
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            yield b"".join([*parts, line])
            parts = []
        if rest:
            parts.append(rest)
