"""What goes over the wire, and what comes back as what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.wan_operator.cluster.api_server import JOBS, VIDEOS, ApiServer, api_server, client_of, failure
from wan_operator.cluster import api as api_module
from wan_operator.cluster.api import Api, open_api
from wan_operator.cluster.connection import Connection, Token
from wan_operator.cluster.refusals import AlreadyExists, Conflict, NotFound, Unavailable

Talk = Callable[[Api, ApiServer], Awaitable[Any]]


@asynccontextmanager
async def api_of(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[Api]:
    """A client of a server that answers every GET with `handler`."""
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        connection = Connection(f"http://127.0.0.1:{runner.addresses[0][1]}", Token(), None)
        async with open_api(connection, 100, 100, lambda *call: None) as api:
            yield api
    finally:
        await runner.cleanup()


def talk(conversation: Talk, server_says: Callable[[ApiServer], None] = lambda server: None) -> ApiServer:
    async def main() -> ApiServer:
        async with api_server() as server, client_of(server) as api:
            server_says(server)
            await conversation(api, server)
            return server

    return asyncio.run(main())


def test_a_status_is_applied_whole_to_the_very_version_that_was_read() -> None:
    async def conversation(api: Api, server: ApiServer) -> None:
        video = server.put(VIDEOS, {"metadata": {"name": "corgi"}})["metadata"]
        answer = await api.apply_status(
            "films", "corgi", video["uid"], video["resourceVersion"], {"phase": "Pending"}
        )
        assert answer["status"] == {"phase": "Pending"}
        with pytest.raises(Conflict):
            await api.apply_status("films", "corgi", video["uid"], video["resourceVersion"], {})

    server = talk(conversation)
    request = server.requests[0]
    assert request.path == f"{VIDEOS}/corgi/status"
    assert request.query == {"fieldManager": "wan-operator", "force": "true"}
    assert request.headers["Content-Type"] == "application/apply-patch+yaml"
    assert server.bodies[0]["kind"] == "VideoGeneration"
    assert set(server.bodies[0]["metadata"]) == {"name", "namespace", "uid", "resourceVersion"}


def test_a_job_of_that_name_is_told_apart() -> None:
    async def conversation(api: Api, server: ApiServer) -> None:
        await api.create_job("films", {"metadata": {"name": "j"}})
        with pytest.raises(AlreadyExists):
            await api.create_job("films", {"metadata": {"name": "j"}})
        assert (await api.get_job("films", "j"))["metadata"]["name"] == "j"

    talk(conversation)


def test_a_job_is_deleted_with_its_pod_and_only_if_it_is_that_job() -> None:
    async def conversation(api: Api, server: ApiServer) -> None:
        job = server.put(JOBS, {"metadata": {"name": "j"}})
        await api.delete_job("films", "j", "another uid")
        assert "j" in server.objects[JOBS]
        await api.delete_job("films", "j", job["metadata"]["uid"])
        await api.delete_job("films", "j", job["metadata"]["uid"])  # gone already: fine
        assert not server.objects[JOBS]

    server = talk(conversation)
    assert all(body["propagationPolicy"] == "Background" for body in server.bodies)


def test_names_cannot_leave_their_path() -> None:
    async def conversation(api: Api, server: ApiServer) -> None:
        with pytest.raises(NotFound):
            await api.get_job("films", "../../../nodes/a?x=1")

    server = talk(conversation)
    assert server.requests[0].raw_path.startswith(f"{JOBS}/..%2F..%2F..%2Fnodes%2Fa%3Fx")


def test_after_a_401_the_token_is_read_again_once(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("old")

    async def main() -> list[str]:
        async with api_server() as server, client_of(server, Token(path.read_text)) as api:
            server.put(JOBS, {"metadata": {"name": "j"}})
            await api.get_job("films", "j")
            path.write_text("new")
            server.refuse = lambda method, path: (
                None
                if server.requests[-1].headers["Authorization"] == "Bearer new"
                else failure(401, "", "who")
            )
            await api.get_job("films", "j")
            path.write_text("wrong")
            server.refuse = lambda method, path: failure(401, "", "who")
            with pytest.raises(Unavailable):
                await api.get_job("films", "j")
            return [request.headers["Authorization"] for request in server.requests]

    words = asyncio.run(main())
    assert words[:3] == ["Bearer old", "Bearer old", "Bearer new"]
    assert words[-1] == "Bearer wrong"


def test_a_server_that_is_not_there_is_unavailable_and_counted() -> None:
    counted: list[tuple[str, str, int | None]] = []

    async def main() -> None:
        connection = Connection("http://127.0.0.1:9", Token(), None)
        async with open_api(connection, 100, 100, lambda *call: counted.append(call)) as api:
            with pytest.raises(Unavailable):
                await api.get_job("films", "j")

    asyncio.run(main())
    assert counted == [("get", "jobs", None)]


def test_a_server_that_does_not_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_module, "CALL_TIMEOUT", aiohttp.ClientTimeout(total=0.05))

    async def main() -> None:
        async with api_of(hang) as api:
            with pytest.raises(Unavailable, match="Timeout"):
                await api.get_job("films", "j")

    asyncio.run(main())


async def hang(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    return web.Response()


def test_an_answer_that_is_no_json_is_unavailable() -> None:
    async def main() -> None:
        async def page(request: web.Request) -> web.StreamResponse:
            return web.Response(text="<html>login</html>")

        async with api_of(page) as api:
            with pytest.raises(Unavailable):
                await api.get_job("films", "j")

    asyncio.run(main())


def test_a_token_review_that_cannot_be_had_is_none() -> None:
    async def conversation(api: Api, server: ApiServer) -> None:
        assert await api.review_token("t", ["a"]) == {"authenticated": True}
        server.refuse = lambda method, path: failure(500, "", "no")
        assert await api.review_token("t", ["a"]) is None

    server = talk(conversation)
    assert server.bodies[0]["spec"] == {"token": "t", "audiences": ["a"]}


def test_events_are_asked_for_by_what_they_are_about() -> None:
    async def conversation(api: Api, server: ApiServer) -> None:
        await api.list_events("films", "uid-1")

    server = talk(conversation)
    assert server.requests[0].query["fieldSelector"] == "involvedObject.uid=uid-1"


def test_writes_keep_to_their_pace() -> None:
    async def main() -> int:
        done = 0
        async with api_server() as server:
            connection = Connection(server.url, Token(), None)
            async with open_api(connection, 0.001, 2, lambda *call: None) as api:

                async def create(number: int) -> None:
                    nonlocal done
                    await api.create_job("films", {"metadata": {"name": f"j{number}"}})
                    done += 1

                tasks = [asyncio.create_task(create(i)) for i in range(5)]
                await asyncio.wait(tasks[:2], timeout=60)
                await api.list_page("batch/v1", "films", "jobs", {})  # reads are not held back
                for task in tasks:
                    task.cancel()
        return done

    assert asyncio.run(main()) == 2
