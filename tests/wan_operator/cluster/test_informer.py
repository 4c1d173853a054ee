"""List, watch, list again: the sink knows what exists, whatever happens to the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.wan_operator.cluster.api_server import JOBS, ApiServer, api_server, client_of, failure, until
from wan_operator.cluster import informer
from wan_operator.cluster.informer import Kind, follow

KIND = Kind("batch/v1", "jobs", "films", "app=x")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(informer, "FIRST_BACK_OFF_S", 0.01)


class Names:
    """A sink that keeps names by uid."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.versions: dict[str, int] = {}

    def put(self, document: Mapping[str, Any], event: str | None) -> None:
        metadata = document["metadata"]
        self.names[metadata["uid"]] = metadata["name"]
        self.versions[metadata["uid"]] = int(metadata["resourceVersion"])

    def drop(self, document: Mapping[str, Any]) -> None:
        self.names.pop(document["metadata"]["uid"], None)

    def retain(self, namespace: str | None, uids: set[str], version: int) -> None:
        self.names = {u: n for u, n in self.names.items() if u in uids or self.versions[u] > version}


class Watched:
    def __init__(self, server: ApiServer, sink: Names) -> None:
        self.server, self.sink, self.lists = server, sink, 0

    def note(self, title: str) -> None:
        assert title == "jobs in films"
        self.lists += 1

    async def server_watches(self) -> None:
        await until(lambda: self.server.watchers(JOBS))

    async def shows(self, *names: str) -> None:
        await until(lambda: sorted(self.sink.names.values()) == sorted(names))


@asynccontextmanager
async def watched(*names: str, relist_s: float = 1e9) -> AsyncIterator[Watched]:
    async with api_server() as server, client_of(server) as api:
        for name in names:
            server.put(JOBS, {"metadata": {"name": name}})
        watched = Watched(server, Names())
        task = asyncio.create_task(follow(api, KIND, watched.sink, watched.note, relist_s))
        try:
            yield watched
            assert not task.done(), task
        finally:
            task.cancel()


def scenario(act: Callable[[Watched], Any], *names: str, relist_s: float = 1e9) -> None:
    async def main() -> None:
        async with watched(*names, relist_s=relist_s) as it:
            await it.shows(*names)
            await until(lambda: it.lists)
            await act(it)

    asyncio.run(main())


def test_what_exists_and_what_changes_is_told() -> None:
    async def act(it: Watched) -> None:
        it.server.put(JOBS, {"metadata": {"name": "c"}})
        await it.shows("a", "b", "c")
        it.server.remove(JOBS, "a")
        await it.shows("b", "c")
        assert it.lists == 1

    scenario(act, "a", "b")


def test_a_list_of_many_pages_is_one_list() -> None:
    async def main() -> None:
        async with api_server() as server, client_of(server) as api:
            server.page_max = 3
            for i in range(10):
                server.put(JOBS, {"metadata": {"name": f"job-{i}"}})
            sink = Names()
            await informer.list_all(api, KIND, sink)
            assert len(sink.names) == 10
            assert all(r.query["labelSelector"] == "app=x" for r in server.requests)

    asyncio.run(main())


def test_a_watch_that_ends_goes_on_where_it_was() -> None:
    async def act(it: Watched) -> None:
        it.server.end_watches(JOBS)
        it.server.put(JOBS, {"metadata": {"name": "b"}})
        await it.shows("a", "b")
        assert it.lists == 1

    scenario(act, "a")


@pytest.mark.parametrize("code", [410, 500, 504])
def test_an_error_in_the_stream_is_followed_by_a_list_that_finds_what_was_missed(code: int) -> None:
    async def act(it: Watched) -> None:
        it.server.remove(JOBS, "a", tell=False)
        await it.server_watches()
        it.server.send(JOBS, "ERROR", failure(code, "", "broken")[1])
        await it.shows("b")
        assert it.lists == 2

    scenario(act, "a", "b")


def test_a_version_that_is_too_old_for_a_new_watch_is_followed_by_a_list() -> None:
    async def act(it: Watched) -> None:
        await it.server_watches()
        it.server.remove(JOBS, "a", tell=False)
        old = [True]

        def refuse(method: str, path: str) -> tuple[int, dict[str, Any]] | None:
            return failure(410, "Expired", "too old") if old and old.pop() else None

        it.server.refuse = refuse
        it.server.end_watches(JOBS)
        await it.shows("b")

    scenario(act, "a", "b")


@pytest.mark.parametrize("code", [401, 403, 429, 500, 503])
def test_refusals_are_waited_out(code: int) -> None:
    async def act(it: Watched) -> None:
        await it.server_watches()
        refused: list[str] = []

        def refuse(method: str, path: str) -> tuple[int, dict[str, Any]] | None:
            refused.append(path)
            return failure(code, "", "no") if len(refused) < 5 else None

        it.server.refuse = refuse
        it.server.end_watches(JOBS)
        it.server.put(JOBS, {"metadata": {"name": "b"}})
        await it.shows("a", "b")
        assert len(refused) >= 5

    scenario(act, "a")


def test_after_a_while_there_is_another_list_which_finds_lost_deletions() -> None:
    async def act(it: Watched) -> None:
        await it.server_watches()
        it.server.remove(JOBS, "a", tell=False)
        it.server.end_watches(JOBS)
        await it.shows("b")

    scenario(act, "a", "b", relist_s=0)


@pytest.mark.parametrize("event", [{"type": "BOOKMARK"}, {"type": "NEW"}], ids=["bookmark", "unknown"])
def test_events_without_news_move_the_place_only(event: dict[str, Any]) -> None:
    sink, place = Names(), informer.Place("5")

    informer.take({**event, "object": {"metadata": {"resourceVersion": "9"}}}, sink, place)

    assert (sink.names, place.version) == ({}, "9")


def test_an_event_without_an_object_ends_the_watch() -> None:
    place = informer.Place("5")
    with pytest.raises(informer.Unavailable):
        informer.take({"type": "ADDED", "object": None}, Names(), place)

    assert place.version == ""
