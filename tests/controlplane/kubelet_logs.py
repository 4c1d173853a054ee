"""The kubelet's HTTPS endpoint: what `kubectl logs` reads. Only the API server's certificate opens it.

Not covered: exec, attach, port-forward, metrics, timestamps (refused).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

from aiohttp import web

from tests.controlplane.certificates import Pair
from tests.controlplane.kubelet_containers import ContainerLife
from tests.controlplane.kubelet_nodes import ADDRESS

LOOK_S = 0.2  # how often a followed log is looked at
Find = Callable[[str, str, str], ContainerLife | None]  # namespace, pod, container


async def serve(find: Find, serving: Pair, ca: Path) -> tuple[web.AppRunner, int]:
    """Listen on a free port; the port. To be cleaned up by the caller."""

    async def answer(request: web.Request) -> web.StreamResponse:
        match = request.match_info
        container = find(match["namespace"], match["pod"], match["container"])
        if container is None:
            raise web.HTTPNotFound(text=f"container {match['container']} is not on this node")
        return await _send(request, container)

    app = web.Application()
    app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(ca))
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_cert_chain(serving.certificate, serving.key)
    site = web.TCPSite(runner, ADDRESS, 0, ssl_context=tls)
    await site.start()
    return runner, int(runner.addresses[0][1])


async def _send(request: web.Request, container: ContainerLife) -> web.StreamResponse:
    query = request.query
    if query.get("timestamps") == "true" or "sinceTime" in query or "sinceSeconds" in query:
        raise web.HTTPBadRequest(text="process-kubelet's logs carry no times")
    previous = query.get("previous") == "true"
    number = container.state.restarts - previous
    path = container.log(number)
    if not path.exists():
        what = "previous terminated container" if previous else "container"
        raise web.HTTPBadRequest(text=f'{what} "{container.name}" in pod has no log yet')
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    text = path.read_bytes()
    sent = len(text)
    await response.write(_cut(text, query))
    while query.get("follow") == "true" and (more := await _more(path, sent, container, number)):
        sent += len(more)
        await response.write(more)
    await response.write_eof()
    return response


def _cut(text: bytes, query: Mapping[str, str]) -> bytes:
    if "tailLines" in query:
        lines = text.splitlines(keepends=True)
        text = b"".join(lines[max(0, len(lines) - int(query["tailLines"])) :])
    return text[: int(query["limitBytes"])] if "limitBytes" in query else text


async def _more(path: Path, sent: int, container: ContainerLife, number: int) -> bytes:
    """What was written since; nothing once the container has ended."""
    while True:
        runs = container.process is not None and container.state.restarts == number
        with path.open("rb") as file:
            file.seek(sent)
            if (more := file.read()) or not runs:
                return more
        await asyncio.sleep(LOOK_S)
