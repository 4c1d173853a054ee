"""The whole operator before a small API server: it starts, works, stops, and never hangs half dead."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.wan_operator.cluster.api_server import (
    GROUP_PATH,
    JOBS,
    NODES,
    PODS,
    VIDEOS,
    ApiServer,
    failure,
    until,
)
from tests.wan_operator.cluster.running import operator
from tests.wan_operator.cluster.stage import ended, node, video
from wan_operator.cluster import runtime, startup, watches
from wan_operator.cluster.reconcile import Reconciler
from wan_operator.cluster.startup import NotReady


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "FIRST_BACK_OFFS_S", (0.01,) * 50)
    monkeypatch.setattr(watches, "SETTLE_S", 0.05)
    monkeypatch.setattr(watches, "RETRY_S", 0.05)
    monkeypatch.setattr(runtime, "TICK_S", 0.02)
    monkeypatch.setattr(startup, "POLL_S", 0.02)


def test_a_resource_goes_from_its_creation_to_its_end() -> None:
    async def main() -> None:
        async with operator(node()) as it:
            it.server.put(VIDEOS, video())
            await until(lambda: it.status.get("attempts"))
            (job,) = it.server.objects[JOBS].values()
            it.server.put(PODS, ended(job))
            await until(lambda: it.status["phase"] == "Succeeded" and not it.server.objects[JOBS])

    asyncio.run(main())


def test_what_waits_for_a_node_runs_when_one_joins() -> None:
    async def main() -> None:
        async with operator() as it:
            it.server.put(VIDEOS, video())
            await until(lambda: it.status.get("reason") == "NoPlanFits")
            it.server.put(NODES, node())
            await until(lambda: it.server.objects[JOBS])

    asyncio.run(main())


def test_the_ladder_of_what_is_suspended_follows_the_pods() -> None:
    container = {"name": "theirs", "resources": {"requests": {"memory": "63.5Gi"}}}
    metadata = {"name": "other", "namespace": "films", "uid": "other-1"}
    other = {"metadata": metadata, "spec": {"nodeName": "cpu-1", "containers": [container]}}

    async def main() -> None:
        async with operator(node()) as it:
            it.server.put(VIDEOS, video(suspend=True))
            await until(lambda: verdicts(it.status) == ["FitsNow"])
            it.server.put(PODS, {**other, "status": {"phase": "Running"}})
            await until(lambda: verdicts(it.status) == ["FitsLater"])
            it.server.remove(PODS, "other")
            await until(lambda: verdicts(it.status) == ["FitsNow"])

    asyncio.run(main())


def verdicts(status: dict[str, Any]) -> list[str]:
    """Of plans for the CPU: there is no other."""
    return [rung["verdict"] for rung in status.get("ladder", ()) if "/cpu/" in rung["plan"]]


def test_what_waits_is_healthy_and_measured() -> None:
    async def main() -> None:
        async with operator(node()) as it:
            it.server.put(VIDEOS, video())
            await until(lambda: it.status.get("attempts"))
            assert (await it.ask("/healthz"))[0] == 200
            assert (await it.ask("/readyz"))[0] == 200
            assert 'wan_operator_resources{phase="' in (await it.ask("/metrics"))[1]

    asyncio.run(main())


def test_nothing_is_decided_before_every_watch_has_listed() -> None:
    async def main() -> None:
        refusal = failure(403, "Forbidden", "no")
        async with operator(node(), refuse=lambda _, path: refusal if path == PODS else None) as it:
            it.server.put(VIDEOS, video())
            await until(lambda: sum(r.path == PODS for r in it.server.requests) > 3)
            assert (await it.ask("/readyz"))[0] == 503
            assert it.status == {}
            it.server.refuse = lambda method, path: None
            await until(lambda: it.status.get("attempts"))

    asyncio.run(main())


def test_what_exists_is_looked_at_before_it_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    began, slow = set(), asyncio.Event()
    whole = Reconciler.reconcile

    async def wait_first(self: Reconciler, key: tuple[str, str]) -> Any:
        began.add(key)
        await slow.wait()
        return await whole(self, key)

    monkeypatch.setattr(Reconciler, "reconcile", wait_first)

    async def main() -> None:
        many = [video() | {"metadata": {"name": f"v{i}", "uid": f"uid-{i}"}} for i in range(20)]
        async with operator(node(), videos=many, api={"workers": 4}) as it:
            await until(lambda: began)
            assert not it.server.watchers(VIDEOS)
            slow.set()
            await until(lambda: it.server.watchers(VIDEOS))
            assert len(it.server.objects[JOBS]) >= 16  # but for those at work in this moment

    asyncio.run(main())


def test_an_api_server_that_was_away_is_caught_up_with() -> None:
    async def main() -> None:
        async with operator(node()) as it:
            await until(lambda: it.server.watchers(VIDEOS))
            it.server.refuse = lambda method, path: failure(503, "", "down")
            for collection in (VIDEOS, JOBS, PODS, NODES):
                it.server.end_watches(collection)
            it.server.put(VIDEOS, video())
            count = len(it.server.requests)
            await until(lambda: len(it.server.requests) > count + 10)
            it.server.refuse = lambda method, path: None
            await until(lambda: it.status.get("attempts"))

    asyncio.run(main())


def test_a_bug_that_one_resource_meets_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Reconciler.reconcile

    async def broken(self: Reconciler, key: tuple[str, str]) -> Any:
        if key[1] == "poison":
            raise LookupError("a bug")
        return await whole(self, key)

    monkeypatch.setattr(Reconciler, "reconcile", broken)

    async def main() -> None:
        async with operator(node()) as it:
            poison = video()
            poison["metadata"] |= {"name": "poison", "uid": "uid-0"}
            it.server.put(VIDEOS, poison)
            it.server.put(VIDEOS, video())
            await until(lambda: it.status.get("attempts"))

    asyncio.run(main())


def test_if_one_part_dies_the_whole_operator_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async def dead(*_: object) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr(runtime, "resync", dead)

    async def main() -> None:
        async with operator(node()) as it, asyncio.timeout(60):
            await it.task

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(main())
    assert caught.group_contains(LookupError)


def test_it_stops_while_it_still_waits_for_the_crd() -> None:
    async def main() -> None:
        bare = ApiServer()
        bare.documents = {}
        async with operator(server=bare) as it:
            await until(lambda: it.server.requests)
            assert (await it.ask("/healthz"))[0] == 200
            assert (await it.ask("/readyz"))[0] == 503

    asyncio.run(main())


def test_it_ends_where_the_crd_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "SCHEMA_PATIENCE_S", 0.0)
    old = ApiServer()
    old.documents[f"/openapi/v3{GROUP_PATH}"] = {"components": {"schemas": {}}}

    async def main() -> None:
        async with operator(server=old) as it, asyncio.timeout(60):
            await it.task

    with pytest.raises(NotReady):
        asyncio.run(main())


def test_everything_is_looked_at_again_once_in_a_while() -> None:
    async def main() -> None:
        async with operator(node(), api={"resyncS": 0.05}) as it:
            it.server.put(VIDEOS, video())
            await until(lambda: it.status.get("attempts"))
            it.server.remove(JOBS, next(iter(it.server.objects[JOBS])), tell=False)
            await until(lambda: it.server.end_watches(JOBS) or it.status["interruptions"] == 1)

    asyncio.run(main())
