"""Health over real HTTP: what makes the operator dead, and what only makes it unready."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from wan_operator.cluster.health import LISTED_WITHIN_S, RECONCILE_MAX_S, TICK_MAX_S, Liveness, application
from wan_operator.cluster.listen import serving
from wan_operator.cluster.metrics import Metrics


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def ask(liveness: Liveness, path: str, metrics: Metrics | None = None) -> tuple[int, str]:
    """Status code and text of one GET to the operator's own application."""
    app = application(liveness, metrics or Metrics())
    async with (
        serving(app, 0, "127.0.0.1") as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as answer,
    ):
        return answer.status, await answer.text()


async def forever() -> None:
    await asyncio.Event().wait()


async def started(clock: Clock) -> tuple[Liveness, asyncio.Task[None]]:
    """A Liveness just after watching began."""
    liveness, watching = Liveness(["pods", "nodes"], clock), asyncio.create_task(forever())
    liveness.watching(watching)
    return liveness, watching


def test_before_it_watches_it_is_alive_and_not_ready() -> None:
    async def scene() -> None:
        liveness = Liveness(["pods"], Clock())
        assert (await ask(liveness, "/healthz"))[0] == 200
        assert (await ask(liveness, "/readyz"))[0] == 503

    asyncio.run(scene())


def test_once_every_watch_has_listed_it_is_ready() -> None:
    async def scene() -> None:
        liveness, _ = await started(Clock())
        liveness.listed("pods")
        assert (await ask(liveness, "/readyz"))[0] == 503
        liveness.listed("nodes")
        assert await ask(liveness, "/readyz") == (
            200,
            "ok loop: ticked 0.0 s ago\nok watching: goes on\n"
            "ok watch of pods: listed\nok watch of nodes: listed\nok queue: no worker is busy\n",
        )

    asyncio.run(scene())


async def stand_still(liveness: Liveness, clock: Clock, _: asyncio.Task[None]) -> None:
    clock.now += TICK_MAX_S


async def end_watching(_: Liveness, __: Clock, watching: asyncio.Task[None]) -> None:
    watching.cancel()
    await asyncio.wait([watching])


async def stay_blind(liveness: Liveness, clock: Clock, _: asyncio.Task[None]) -> None:
    liveness.listed("pods")
    clock.now += LISTED_WITHIN_S
    liveness.tick()


async def hang(liveness: Liveness, clock: Clock, _: asyncio.Task[None]) -> object:
    for watch in ("pods", "nodes"):
        liveness.listed(watch)
    reconcile = liveness.working(("videos", "corgi"))
    reconcile.__enter__()
    clock.now += RECONCILE_MAX_S
    liveness.tick()
    return reconcile


@pytest.mark.parametrize(
    ("befall", "line"),
    [
        pytest.param(stand_still, "FAILED loop: ticked 30.0 s ago", id="the loop does not turn"),
        pytest.param(end_watching, "FAILED watching: has ended", id="watching has ended"),
        pytest.param(stay_blind, "FAILED watch of nodes: not listed after 180 s", id="a watch stays blind"),
        pytest.param(
            hang, "FAILED queue: ('videos', 'corgi') is worked on for 300.0 s", id="a reconcile never returns"
        ),
    ],
)
def test_what_only_a_restart_mends_is_told_as_dead(
    befall: Callable[[Liveness, Clock, asyncio.Task[None]], Awaitable[object]], line: str
) -> None:
    async def scene() -> None:
        clock = Clock()
        liveness, watching = await started(clock)
        hung = await befall(liveness, clock, watching)
        status, text = await ask(liveness, "/healthz")
        assert status == 503
        assert [told for told in text.splitlines() if told.startswith("FAILED")] == [line]
        assert (await ask(liveness, "/readyz"))[0] == 503
        del hung  # a reconcile ends where nobody holds it any more

    asyncio.run(scene())


def test_a_long_watch_and_short_reconciles_are_no_reason_to_die() -> None:
    async def scene() -> None:
        clock = Clock()
        liveness, _ = await started(clock)
        liveness.listed("pods")
        liveness.listed("nodes")
        for _round in range(10):
            with liveness.working(("videos", "corgi")):
                clock.now += RECONCILE_MAX_S / 2
            liveness.tick()
        assert (await ask(liveness, "/healthz"))[0] == 200

    asyncio.run(scene())


def test_a_watch_that_nobody_announced_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Liveness(["pods"]).listed("secrets")


def test_metrics_are_served_as_prometheus_reads_them() -> None:
    async def scene() -> None:
        metrics = Metrics()
        metrics.reconciled("written", 0.2)
        status, text = await ask(Liveness([]), "/metrics", metrics)
        assert status == 200
        assert 'wan_operator_reconcile_seconds_count{result="written"} 1.0' in text

    asyncio.run(scene())


def test_nothing_else_is_served() -> None:
    async def scene() -> None:
        for path in ("/", "/debug", "/v1/progress"):
            assert (await ask(Liveness([]), path))[0] == 404

    asyncio.run(scene())


def test_a_taken_port_is_an_error() -> None:
    async def scene() -> None:
        app = application(Liveness([]), Metrics())
        async with serving(app, 0, "127.0.0.1") as port:
            with pytest.raises(OSError, match="address already in use"):
                async with serving(application(Liveness([]), Metrics()), port, "127.0.0.1"):
                    pass

    asyncio.run(scene())
