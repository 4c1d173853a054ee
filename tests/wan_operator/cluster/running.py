"""The whole operator before a small API server, within this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.controlplane.process import free_port
from tests.wan_operator.cluster.api_server import NODES, VIDEOS, ApiServer, Refuse, api_server
from tests.wan_operator.cluster.stage import settings_of
from wan_operator.cluster import runtime
from wan_operator.cluster.connection import Connection, Token


@dataclass
class Running:
    server: ApiServer
    task: asyncio.Task[None]
    stop: asyncio.Event
    health: str

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.server.objects[VIDEOS]["corgi"].get("status", {})
        return status

    async def ask(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(f"{self.health}{path}") as answer:
            return answer.status, await answer.text()


@asynccontextmanager
async def operator(
    *nodes: dict[str, Any],
    server: ApiServer | None = None,
    refuse: Refuse | None = None,
    videos: Sequence[dict[str, Any]] = (),
    **more: Any,
) -> AsyncIterator[Running]:
    """The operator and its API server. What it dies of comes out at the end."""
    async with api_server() as fresh:
        fresh.refuse = refuse or fresh.refuse
        for document in nodes:
            fresh.put(NODES, document)
        for document in videos:
            fresh.put(VIDEOS, document)
        if server is not None:
            fresh.documents = server.documents
        health, report = free_port(), free_port()
        given = {"healthPort": health, "report": {"url": "http://operator/v1/progress", "port": report}}
        stop = asyncio.Event()
        connection = Connection(fresh.url, Token())
        task = asyncio.create_task(runtime.operate(settings_of(**given, **more), connection, stop))
        it = Running(fresh, task, stop, f"http://127.0.0.1:{health}")
        try:
            yield it
            stop.set()
            async with asyncio.timeout(60):
                await task
        finally:
            task.cancel()
            await asyncio.wait([task])
