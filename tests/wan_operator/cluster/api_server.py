"""A small API server at the HTTP edge: objects by path, lists, watches, versions, refusals on demand.

It keeps what the real one promises and the operator relies on: growing resourceVersions, uids, 404 and 409
with their words, an apply that looks at the resourceVersion, a delete that looks at the uid.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from wan_core.api.crd import build_crd
from wan_operator.cluster.api import Api, open_api
from wan_operator.cluster.connection import Connection, Token

Document = dict[str, Any]
Refuse = Callable[[str, str], tuple[int, Document] | None]  # method and path -> status and body
GROUP_PATH = "/apis/wan.video/v1alpha1"
VIDEOS = f"{GROUP_PATH}/namespaces/films/videogenerations"
JOBS = "/apis/batch/v1/namespaces/films/jobs"
PODS = "/api/v1/namespaces/films/pods"
NODES = "/api/v1/nodes"


def failure(code: int, reason: str, message: str) -> tuple[int, Document]:
    """A refusal as the API server words it."""
    return code, {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code}


class ApiServer:
    """`calls` are the requests but lists and watches; `refuse` is asked first about each of them."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Document]] = defaultdict(dict)  # by collection, by name
        self.documents: dict[str, Document] = {
            **discovery(),
            f"/openapi/v3{GROUP_PATH}": published(
                build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
            ),
        }
        self.calls: list[tuple[str, str]] = []
        self.requests: list[web.Request] = []
        self.bodies: list[Document] = []
        self.refuse: Refuse = lambda method, path: None
        self.version = 100
        self.page_max = 1000
        self.url = ""
        self._watches: dict[str, set[asyncio.Queue[Document | None]]] = defaultdict(set)

    def put(self, collection: str, document: Document) -> Document:
        """Create or replace an object, as somebody else would; watchers hear of it."""
        self.version += 1
        name = document["metadata"]["name"]
        known = name in self.objects[collection]
        metadata = {
            "namespace": "films",
            "uid": f"uid-of-{name}-{self.version}",
            "generation": 1,
            "creationTimestamp": "2026-01-01T11:59:00Z",
            **document["metadata"],
            "resourceVersion": str(self.version),
        }
        stored = {**document, "metadata": metadata}
        self.objects[collection][name] = stored
        self.send(collection, "MODIFIED" if known else "ADDED", stored)
        return stored

    def remove(self, collection: str, name: str, *, tell: bool = True) -> None:
        """Delete an object; `tell` False: the watchers miss it."""
        self.version += 1
        gone = self.objects[collection].pop(name)
        gone["metadata"]["resourceVersion"] = str(self.version)
        if tell:
            self.send(collection, "DELETED", gone)

    def send(self, collection: str, kind: str, document: Document) -> None:
        """An event to all who watch the collection."""
        for queue in self._watches[collection]:
            queue.put_nowait({"type": kind, "object": document})

    def watchers(self, collection: str) -> int:
        return len(self._watches[collection])

    def end_watches(self, collection: str) -> None:
        """Close every watch of the collection."""
        for queue in self._watches[collection]:
            queue.put_nowait(None)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path, method = request.path, request.method.lower()
        self.requests.append(request)
        listing = method == "get" and not self._is_object(path) and path not in self.documents
        if not listing:
            self.calls.append((method, path))
        if (refusal := self.refuse(method, path)) is not None:
            return web.json_response(refusal[1], status=refusal[0])
        if path in self.documents:
            return web.json_response(self.documents[path])
        if listing and request.query.get("watch"):
            return await self._watch(request, path)
        if listing:
            return web.json_response(self._list(path, request.query.get("continue", "")))
        body = await request.json() if request.can_read_body else {}
        self.bodies.append(body)
        status, document = getattr(self, f"_{method}")(path, body)
        return web.json_response(document, status=status)

    def _is_object(self, path: str) -> bool:
        return path.rpartition("/")[2] not in ("videogenerations", "jobs", "pods", "nodes", "events")

    def _list(self, path: str, continued: str) -> Document:
        items = list(self.objects[path].values())
        start = int(continued or 0)
        end = start + self.page_max
        more = {"continue": str(end)} if end < len(items) else {}
        return {"items": items[start:end], "metadata": {"resourceVersion": str(self.version), **more}}

    async def _watch(self, request: web.Request, path: str) -> web.StreamResponse:
        response = web.StreamResponse()
        queue: asyncio.Queue[Document | None] = asyncio.Queue()
        since = int(request.query["resourceVersion"])
        for stored in self.objects[path].values():
            if int(stored["metadata"]["resourceVersion"]) > since:
                queue.put_nowait({"type": "MODIFIED", "object": stored})
        self._watches[path].add(queue)
        try:
            await response.prepare(request)
            while (event := await queue.get()) is not None:
                await response.write(json.dumps(event).encode() + b"\n")
        finally:
            self._watches[path].discard(queue)
        return response

    def _get(self, path: str, _: Document) -> tuple[int, Document]:
        collection, _, name = path.rpartition("/")
        stored = self.objects[collection].get(name)
        return (200, stored) if stored is not None else failure(404, "NotFound", f"{name} not found")

    def _post(self, path: str, body: Document) -> tuple[int, Document]:
        if body.get("metadata", {}).get("name") in self.objects[path]:
            return failure(409, "AlreadyExists", "it already exists")
        if "metadata" not in body:  # a review
            return 201, {**body, "status": {"authenticated": True}}
        return 201, self.put(path, body)

    def _patch(self, path: str, body: Document) -> tuple[int, Document]:
        collection, _, name = path.removesuffix("/status").rpartition("/")
        stored = self.objects[collection].get(name)
        if stored is None:
            return failure(404, "NotFound", f"{name} not found")
        version = body.get("metadata", {}).get("resourceVersion")
        if version not in (None, stored["metadata"]["resourceVersion"]):
            return failure(409, "Conflict", "the object has been modified")
        return 200, self.put(collection, {**stored, "status": body["status"]})

    def _delete(self, path: str, body: Document) -> tuple[int, Document]:
        collection, _, name = path.rpartition("/")
        stored = self.objects[collection].get(name)
        if stored is None:
            return failure(404, "NotFound", f"{name} not found")
        if body["preconditions"]["uid"] != stored["metadata"]["uid"]:
            return failure(409, "Conflict", "the uid is another")
        self.remove(collection, name)
        return 200, {"kind": "Status", "status": "Success"}


def discovery() -> dict[str, Document]:
    """The documents by which clients find out what resources there are."""
    kinds = {
        "/api/v1": [("pods", "Pod", True), ("nodes", "Node", False), ("namespaces", "Namespace", False)],
        "/apis/batch/v1": [("jobs", "Job", True)],
        GROUP_PATH: [("videogenerations", "VideoGeneration", True)],
    }
    verbs = ["get", "list", "watch"]
    resources = {
        path: [
            {"name": name, "singularName": "", "kind": kind, "namespaced": namespaced, "verbs": verbs}
            for name, kind, namespaced in found
        ]
        for path, found in kinds.items()
    }
    resources[GROUP_PATH].append({"name": "videogenerations/status", "kind": "VideoGeneration"})
    groups = [tuple(path.split("/")[2:]) for path in kinds if path.startswith("/apis/")]
    listed = [
        {"name": name, "versions": [{"version": version}], "preferredVersion": {"version": version}}
        for name, version in groups
    ]
    return {
        "/api": {"versions": ["v1"]},
        "/apis": {"groups": listed},
        **{path: {"resources": found} for path, found in resources.items()},
    }


def published(schema: Document) -> Document:
    """A schema of VideoGeneration as OpenAPI v3 publishes it."""
    kind = {"group": "wan.video", "version": "v1alpha1", "kind": "VideoGeneration"}
    return {"components": {"schemas": {"it": {**schema, "x-kubernetes-group-version-kind": [kind]}}}}


@asynccontextmanager
async def api_server() -> AsyncIterator[ApiServer]:
    """A server that listens on a port of its own."""
    server = ApiServer()
    app = web.Application(client_max_size=16 * 2**20)
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def client_of(server: ApiServer, token: Token | None = None) -> AsyncIterator[Api]:
    """The operator's client, with writes unhindered."""
    connection = Connection(server.url, token or Token(), None)
    async with open_api(connection, 1e6, 1000, lambda verb, resource, status: None) as api:
        yield api


async def until(true: Callable[[], object], timeout_s: float = 60.0) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(timeout_s):
        while not true():
            await asyncio.sleep(0.01)
