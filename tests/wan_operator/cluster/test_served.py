"""A namespace that is not there keeps no other waiting, and is served once it is."""

from __future__ import annotations

import asyncio

import pytest

from tests.wan_operator.cluster.api_server import Document, Refuse, failure, until
from tests.wan_operator.cluster.running import operator
from tests.wan_operator.cluster.stage import JOBS, VIDEOS, node, video
from wan_operator.cluster import served, startup
from wan_operator.cluster.startup import NotReady

BOTH = ("films", "gone")


def refused(*namespaces: str) -> Refuse:
    """As RBAC answers where there is no Role."""

    def refuse(method: str, path: str) -> tuple[int, Document] | None:
        hidden = any(f"/namespaces/{name}/" in path for name in namespaces)
        return failure(403, "Forbidden", "cannot list") if hidden else None

    return refuse


def test_the_others_are_served_and_it_begins_anew_when_the_namespace_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(served, "PROBE_S", 0.05)

    async def main() -> None:
        async with operator(node(), namespaces=BOTH) as it:
            it.server.refuse = refused("gone")
            it.server.put(VIDEOS, video())
            await until(lambda: it.server.objects[JOBS])
            await until(lambda: sum("/gone/" in r.path for r in it.server.requests) > 5)
            assert not it.task.done()
            it.server.refuse = refused()
            await until(it.task.done)

    asyncio.run(main())


def test_it_begins_anew_when_a_namespace_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "PROBE_S", 0.05)

    async def main() -> None:
        async with operator(node(), namespaces=BOTH) as it:
            it.server.put(VIDEOS, video())
            await until(lambda: it.server.objects[JOBS])
            it.server.refuse = refused("gone")
            await until(it.task.done)

    asyncio.run(main())


def test_an_api_server_that_fails_says_nothing_about_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "PROBE_S", 0.01)

    async def main() -> None:
        async with operator(node(), namespaces=BOTH) as it:
            it.server.put(VIDEOS, video())
            await until(lambda: it.server.objects[JOBS])
            it.server.refuse = lambda method, path: failure(500, "", "down")
            seen = len(it.server.calls) + len(it.server.requests)
            await until(lambda: len(it.server.requests) > seen + 10)
            assert not it.task.done()
            it.server.refuse = refused()

    asyncio.run(main())


def test_without_any_namespace_it_says_so_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "POLL_S", 0.01)

    monkeypatch.setattr("wan_operator.cluster.runtime.SCHEMA_PATIENCE_S", 0.1)

    async def main() -> None:
        async with operator(node(), namespaces=BOTH) as it:
            it.server.refuse = refused(*BOTH)
            await until(it.task.done)

    with pytest.raises(NotReady, match="none of the namespaces films, gone"):
        asyncio.run(main())
