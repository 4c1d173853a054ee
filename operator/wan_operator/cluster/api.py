"""The one client of the API server: what the operator reads and writes, by name. Refusals are typed.

No retries here, but one after a 401 with the token read again: who calls knows what a retry would mean.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp

from wan_core.api.crd import PLURAL
from wan_core.api.spec import API_VERSION, KIND
from wan_operator.cluster.bucket import Bucket
from wan_operator.cluster.connection import Connection
from wan_operator.cluster.names import FIELD_MANAGER, UID_LABEL
from wan_operator.cluster.refusals import AlreadyExists, Conflict, NotFound, Refusal, Unavailable, refusal_of

CALL_TIMEOUT = aiohttp.ClientTimeout(total=30.0, sock_connect=10.0)
LIST_TIMEOUT = aiohttp.ClientTimeout(total=120.0, sock_connect=10.0)
JSON_TYPE = "application/json"
APPLY_TYPE = "application/apply-patch+yaml"  # JSON is YAML
MERGE_TYPE = "application/merge-patch+json"
METADATA_TYPE = f"{JSON_TYPE};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

Document = dict[str, Any]
CountCall = Callable[[str, str, int | None], None]


class Api:
    """Owns the HTTP session. `count(verb, resource, status)` is told of every call; None: no answer came."""

    def __init__(
        self, connection: Connection, session: aiohttp.ClientSession, writes: Bucket, count: CountCall
    ) -> None:
        self._connection = connection
        self._session = session
        self._writes = writes
        self._count = count

    # VideoGenerations

    async def get_video(self, namespace: str, name: str) -> Document:
        return await self._call("get", _path(API_VERSION, namespace, PLURAL, name), PLURAL)

    async def delete_video(self, namespace: str, name: str, uid: str) -> None:
        """Raises Conflict if the name is another's by now."""
        await self._delete(_path(API_VERSION, namespace, PLURAL, name), PLURAL, uid)

    async def apply_status(
        self, namespace: str, name: str, uid: str, resource_version: str, status: Mapping[str, Any]
    ) -> Document:
        """Server-side apply of the whole status; the resource as it is then.

        The API server does not look at the uid of an apply: the resourceVersion is what keeps a successor of
        the same name from taking this status. Raises Conflict if it is not the current one.
        """
        metadata = {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": resource_version}
        document = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "status": status}
        path = _path(API_VERSION, namespace, PLURAL, name, "status")
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._call("patch", path, f"{PLURAL}/status", document, APPLY_TYPE, query)

    # Jobs

    async def create_job(self, namespace: str, job: Mapping[str, Any]) -> Document:
        """The Job as it is now. Raises AlreadyExists if one has its name."""
        path = _path("batch/v1", namespace, "jobs")
        return await self._call("post", path, "jobs", job, JSON_TYPE, {"fieldManager": FIELD_MANAGER})

    async def get_job(self, namespace: str, name: str) -> Document:
        return await self._call("get", _path("batch/v1", namespace, "jobs", name), "jobs")

    async def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """Delete the Job and, in the background, its pod. Fine if it is gone, or another, by now."""
        try:
            await self._delete(_path("batch/v1", namespace, "jobs", name), "jobs", uid)
        except (NotFound, Conflict):
            return

    # Pods, Events and tokens

    async def list_pods(self, namespace: str, owner_uid: str) -> list[Document]:
        """All pods of one resource's attempts: one that is left out would be believed gone."""
        query = {"labelSelector": f"{UID_LABEL}={owner_uid}"}
        page = await self._call("get", _path("v1", namespace, "pods"), "pods", query=query, verb="list")
        return list(page.get("items") or ())

    async def list_events(self, namespace: str, involved_uid: str) -> list[Document]:
        """The Events about one object."""
        query = {"fieldSelector": f"involvedObject.uid={involved_uid}", "limit": "50"}
        page = await self._call("get", _path("v1", namespace, "events"), "events", query=query, verb="list")
        return list(page.get("items") or ())

    async def create_event(self, namespace: str, event: Mapping[str, Any]) -> bool:
        """False if one of that name exists already."""
        try:
            await self._call("post", _path("v1", namespace, "events"), "events", event, JSON_TYPE)
        except AlreadyExists:
            return False
        return True

    async def patch_event(self, namespace: str, name: str, patch: Mapping[str, Any]) -> bool:
        """Merge patch; False if there is none of that name any more."""
        try:
            await self._call("patch", _path("v1", namespace, "events", name), "events", patch, MERGE_TYPE)
        except NotFound:
            return False
        return True

    async def review_token(self, token: str, audiences: Sequence[str]) -> Mapping[str, Any] | None:
        """The `status` of a TokenReview; None where the API server could not be asked."""
        spec = {"token": token, "audiences": list(audiences)}
        document = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        path = _path("authentication.k8s.io/v1", None, "tokenreviews")
        try:
            answer = await self._call("post", path, "tokenreviews", document, JSON_TYPE, paced=False)
        except Refusal:
            return None
        status = answer.get("status")
        return status if isinstance(status, dict) else None

    # Reading at large

    async def get(self, path: str, what: str) -> Document:
        """Any document that is not an object of a resource: discovery, OpenAPI."""
        return await self._call("get", path, what, timeout=LIST_TIMEOUT)

    async def list_page(
        self,
        api_version: str,
        namespace: str | None,
        plural: str,
        query: Mapping[str, str],
        *,
        metadata_only: bool = False,
    ) -> Document:
        """One page of a list; if asked so, of each item its metadata alone."""
        path = _path(api_version, namespace, plural)
        accept = METADATA_TYPE if metadata_only else JSON_TYPE
        return await self._call(
            "get", path, plural, query=query, verb="list", timeout=LIST_TIMEOUT, accept=accept
        )

    # How

    async def _delete(self, path: str, what: str, uid: str) -> None:
        options = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        await self._call("delete", path, what, options, JSON_TYPE)

    async def _call(
        self,
        method: str,
        path: str,
        what: str,
        document: Mapping[str, Any] | None = None,
        content_type: str = JSON_TYPE,
        query: Mapping[str, str] | None = None,
        *,
        verb: str | None = None,
        timeout: aiohttp.ClientTimeout | None = None,
        paced: bool = True,
        accept: str = JSON_TYPE,
    ) -> Document:
        if paced and method != "get":
            await self._writes.turn()
        verb = verb or {"post": "create"}.get(method, method)
        target = f"{path}?{urlencode(query)}" if query else path
        body = None if document is None else json.dumps(document, separators=(",", ":")).encode()
        async with self._answer(method, target, what, verb, body, content_type, timeout, accept) as response:
            data = json.loads((await response.read()).decode("utf-8", "replace"))
        if not isinstance(data, dict):
            raise Unavailable(f"{path}: the answer is no JSON object", response.status)
        return data

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        what: str,
        verb: str,
        body: bytes | None = None,
        content_type: str = JSON_TYPE,
        timeout: aiohttp.ClientTimeout | None = None,
        accept: str = JSON_TYPE,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to a request, if it is a good one; whatever goes wrong until it is read is a Refusal."""
        status: int | None = None
        try:
            for last in (False, True):
                request = self._session.request(
                    method,
                    self._connection.server + path,
                    data=body,
                    headers=self._headers(accept, content_type if body is not None else None),
                    ssl=self._connection.tls or True,
                    timeout=timeout or CALL_TIMEOUT,
                    allow_redirects=False,
                )
                async with request as response:
                    status = response.status
                    if status == 401 and not last:
                        self._connection.token.refresh()
                        continue
                    if status >= 300:
                        raise refusal_of(status, await response.read(), response.headers.get("Retry-After"))
                    yield response
                    return
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            raise Unavailable(f"{method.upper()} {path}: {error!r}", status) from error
        finally:
            self._count(verb, what, status)

    def _headers(self, accept: str, content_type: str | None) -> dict[str, str]:
        headers = {"Accept": accept, "User-Agent": FIELD_MANAGER}
        if content_type is not None:
            headers["Content-Type"] = content_type
        if token := self._connection.token.read():
            headers["Authorization"] = f"Bearer {token}"
        return headers


@asynccontextmanager
async def open_api(
    connection: Connection, writes_per_second: float, write_burst: int, count: CountCall
) -> AsyncIterator[Api]:
    """The client, while the context is open."""
    connector = aiohttp.TCPConnector(limit=0)  # the workers bound it
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=connector, cookie_jar=jar) as session:
        yield Api(connection, session, Bucket(writes_per_second, write_burst), count)


def _path(api_version: str, namespace: str | None, plural: str, *names: str) -> str:
    """The URL path of a collection, an object of it, or a subresource of that."""
    root = "/api/v1" if api_version == "v1" else f"/apis/{api_version}"
    parts = ["namespaces", namespace, plural] if namespace is not None else [plural]
    return "/".join([root, *(quote(part, safe="") for part in (*parts, *names))])
