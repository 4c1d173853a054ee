"""kopf watches, lists make good what it misses: the sink knows what exists, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.wan_operator.cluster.api_server import (
    JOBS,
    NODES,
    PODS,
    ApiServer,
    api_server,
    client_of,
    failure,
    until,
)
from wan_operator.cluster import watches
from wan_operator.cluster.connection import Connection, Token
from wan_operator.cluster.watches import Kind, Watch, divide, watch

KIND = Kind("batch/v1", "jobs", ("films",), "app=x")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "FIRST_BACK_OFFS_S", (0.01, 0.01, 0.01, 0.01))
    monkeypatch.setattr(watches, "SETTLE_S", 0.05)
    monkeypatch.setattr(watches, "FIRST_LOOKS_S", (0.3, 0.3))
    monkeypatch.setattr(watches, "RETRY_S", 0.05)


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

    def holds(self, uid: str) -> bool:
        return uid in self.names

    def retain(self, namespace: str | None, uids: set[str], version: int) -> None:
        self.names = {u: n for u, n in self.names.items() if u in uids or self.versions[u] > version}


async def nothing_more() -> None:
    pass


class Watched:
    def __init__(self, server: ApiServer, sink: Names) -> None:
        self.server, self.sink, self.listed = server, sink, 0

    async def note(self) -> None:
        self.listed += 1

    async def server_watches(self) -> None:
        await until(lambda: self.server.watchers(JOBS))

    async def shows(self, *names: str) -> None:
        await until(lambda: sorted(self.sink.names.values()) == sorted(names))


@asynccontextmanager
async def watched(*names: str, relist_s: float = 1e6) -> AsyncIterator[Watched]:
    async with api_server() as server, client_of(server) as api:
        for name in names:
            server.put(JOBS, {"metadata": {"name": name}})
        it = Watched(server, Names())
        connection = Connection(server.url, Token())
        work = watch(api, connection, [(KIND, it.sink)], it.note, relist_s, asyncio.Event())
        task = asyncio.create_task(work)
        try:
            yield it
            assert not task.done(), task
        finally:
            task.cancel()
            await asyncio.wait([task])


def scenario(act: Callable[[Watched], Any], *names: str, relist_s: float = 1e6) -> None:
    async def main() -> None:
        async with watched(*names, relist_s=relist_s) as it:
            await it.shows(*names)
            await until(lambda: it.listed)
            await it.server_watches()
            await act(it)

    asyncio.run(main())


def test_what_exists_and_what_changes_is_told() -> None:
    async def act(it: Watched) -> None:
        it.server.put(JOBS, {"metadata": {"name": "c"}})
        await it.shows("a", "b", "c")
        it.server.remove(JOBS, "a")
        await it.shows("b", "c")
        assert it.listed == 1

    scenario(act, "a", "b")


def test_an_empty_cluster_has_listed_too() -> None:
    async def act(it: Watched) -> None:
        it.server.put(JOBS, {"metadata": {"name": "a"}})
        await it.shows("a")

    scenario(act)


@pytest.mark.parametrize(
    "forged",
    [
        {"annotations": {"kopf.zalando.org/last-handled-configuration": "{"}},
        {"annotations": {"kopf.zalando.org/last-handled-configuration": "[" * 100_000}},
        {"annotations": {"kopf.zalando.org/tell": "no progress", "kopf.dev/x": "{}"}},
        {"finalizers": ["kopf.zalando.org/KopfFinalizerMarker"]},
    ],
    ids=["no JSON", "deep JSON", "no progress of a handler", "kopf's finalizer"],
)
def test_nothing_that_a_user_writes_is_taken_for_kopfs_own(forged: dict[str, Any]) -> None:
    """Else one object would keep the operator from ever starting, or it would try to patch it for ever."""

    async def main() -> None:
        async with watched() as it:
            it.server.put(JOBS, {"metadata": {"name": "forged", "uid": "u", **forged}})
            await until(lambda: it.listed)
            for _ in range(2):
                it.server.put(JOBS, {"metadata": {"name": "forged", "uid": "u", **forged}})
                await until(lambda: it.sink.versions.get("u") == it.server.version)
            it.server.put(JOBS, {"metadata": {"name": "other"}})
            await it.shows("forged", "other")
            assert [call for call in it.server.calls if call[0] == "patch"] == []

    asyncio.run(main())


def test_when_it_has_listed_everything_has_been_told() -> None:
    async def main() -> None:
        async with watched(*(f"job-{i}" for i in range(300))) as it:
            await until(lambda: it.listed)
            assert len(it.sink.names) == 300

    asyncio.run(main())


def test_a_list_of_many_pages_is_one_list() -> None:
    async def main() -> None:
        async with api_server() as server, client_of(server) as api:
            server.page_max = 3
            for i in range(10):
                server.put(JOBS, {"metadata": {"name": f"job-{i}"}})
            sink = Names()
            await watches.list_all(api, KIND, "films", sink)
            assert len(sink.names) == 10
            assert all(r.query["labelSelector"] == "app=x" for r in server.requests)

    asyncio.run(main())


def test_a_watch_that_ends_goes_on_where_it_was() -> None:
    async def act(it: Watched) -> None:
        it.server.end_watches(JOBS)
        it.server.put(JOBS, {"metadata": {"name": "b"}})
        await it.shows("a", "b")

    scenario(act, "a")


def test_a_410_in_the_stream_is_followed_by_a_list_that_finds_what_was_missed() -> None:
    async def act(it: Watched) -> None:
        it.server.remove(JOBS, "a", tell=False)
        it.server.send(JOBS, "ERROR", failure(410, "Expired", "too old")[1])
        await it.shows("b")

    scenario(act, "a", "b")


def test_what_goes_between_our_first_list_and_kopfs_is_noticed() -> None:
    async def main() -> None:
        async with api_server() as server, client_of(server) as api:
            server.put(JOBS, {"metadata": {"name": "a"}})
            sink = Names()

            async def remove_it() -> None:
                assert sink.names
                server.remove(JOBS, "a", tell=False)

            connection = Connection(server.url, Token())
            work = watch(api, connection, [(KIND, sink)], remove_it, 1e6, asyncio.Event())
            task = asyncio.create_task(work)
            await until(lambda: server.watchers(JOBS) and not sink.names)
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(main())


def test_a_kind_that_became_empty_while_another_was_listed_anew_is_noticed() -> None:
    async def main() -> None:
        async with api_server() as server, client_of(server) as api:
            server.put(JOBS, {"metadata": {"name": "a"}})
            server.put(PODS, {"metadata": {"name": "pod"}})
            pods = Names()
            sinks = [(KIND, Names()), (Kind("v1", "pods", ("films",)), pods)]
            connection = Connection(server.url, Token())
            work = watch(api, connection, sinks, nothing_more, 1e6, asyncio.Event())
            task = asyncio.create_task(work)
            await until(lambda: server.watchers(JOBS) and server.watchers(PODS))
            await asyncio.sleep(1)  # past the first looks: from here on nothing but the list anew can tell
            server.remove(PODS, "pod", tell=False)
            server.send(JOBS, "ERROR", failure(410, "Expired", "too old")[1])
            await until(lambda: not pods.names)
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(main())


def test_another_error_in_the_stream_ends_it_so_that_the_process_is_restarted() -> None:
    async def main() -> None:
        async with api_server() as server, client_of(server) as api:
            server.put(JOBS, {"metadata": {"name": "a"}})
            connection = Connection(server.url, Token())
            work = watch(api, connection, [(KIND, Names())], nothing_more, 1e6, asyncio.Event())
            task = asyncio.create_task(work)
            await until(lambda: server.watchers(JOBS))
            server.send(JOBS, "ERROR", failure(500, "InternalError", "broken")[1])
            await asyncio.wait([task], timeout=60)
            assert task.done()
            assert task.exception() is not None

    asyncio.run(main())


@pytest.mark.parametrize("code", [403, 429, 500, 503])
def test_refusals_are_waited_out(code: int) -> None:
    async def act(it: Watched) -> None:
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
        it.server.remove(JOBS, "a", tell=False)
        await it.shows("b")

    scenario(act, "a", "b", relist_s=0.1)


@pytest.mark.parametrize("steps", range(6))
def test_it_can_be_ended_in_the_very_moment_in_which_something_is_to_be_mended(steps: int) -> None:
    async def main() -> None:
        async with api_server() as server, client_of(server) as api:
            each = Watch(KIND, Names())
            task = asyncio.create_task(watches.repair(api, each, 60))
            await asyncio.sleep(0.01)
            each.listed_anew.set()
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task], timeout=60)
            assert task.cancelled()

    asyncio.run(main())


def test_cluster_wide_pods_are_watched_apart_from_what_has_a_namespace() -> None:
    kinds = [Kind("v1", "nodes"), Kind("batch/v1", "jobs", ("films",)), Kind("v1", "pods")]
    scopes = divide([Watch(kind, Names()) for kind in kinds])

    found = [(scope.namespaces, [w.kind.plural for w in scope.watches]) for scope in scopes]
    assert found == [(("films",), ["jobs", "nodes"]), ((), ["pods"])]


def test_everything_of_every_kind_is_known_before_it_counts_as_listed() -> None:
    async def main() -> None:
        async with api_server() as server, client_of(server) as api:
            server.put(NODES, {"metadata": {"name": "node-1"}})
            server.put(JOBS, {"metadata": {"name": "a"}})
            server.put(PODS.replace("/namespaces/films", ""), {"metadata": {"name": "pod"}})
            sinks = [Names(), Names(), Names()]
            kinds = [Kind("v1", "nodes"), KIND, Kind("v1", "pods")]
            listed = asyncio.Event()

            async def note() -> None:
                listed.set()

            work = watch(
                api,
                Connection(server.url, Token()),
                list(zip(kinds, sinks, strict=True)),
                note,
                1e6,
                asyncio.Event(),
            )
            task = asyncio.create_task(work)
            await asyncio.wait_for(listed.wait(), 60)
            assert [list(sink.names.values()) for sink in sinks] == [["node-1"], ["a"], ["pod"]]
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(main())
