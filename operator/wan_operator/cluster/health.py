"""Whether the operator is alive and ready, told over HTTP: /healthz, /readyz, /metrics.

Alive means that a restart would not help. So an API server that cannot be reached is no reason to die; a loop
that does not turn, watches that ended or stay blind, and a reconcile that never returns are.
That the loop turns at all is shown by the answer; `tick` shows that the operator's own part of it does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from wan_operator.cluster.metrics import Metrics

TICK_MAX_S = 30.0
LISTED_WITHIN_S = 180.0  # from the start of watching: a restart while the API server is away does no harm
RECONCILE_MAX_S = 300.0  # many times what all calls of one reconcile may take together


@dataclass(frozen=True)
class Check:
    """One line of /healthz. `ready` is False also where it is only too early to serve."""

    name: str
    alive: bool
    ready: bool
    text: str

    def __str__(self) -> str:
        return f"{'ok' if self.alive else 'FAILED'} {self.name}: {self.text}"


class Liveness:
    """What the runtime says about itself as it goes, and what follows from it."""

    def __init__(self, watches: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ticked = clock()
        self._listed = dict.fromkeys(watches, False)
        self._watching: asyncio.Task[None] | None = None
        self._since = 0.0
        self._working: dict[Hashable, float] = {}

    def tick(self) -> None:
        """The loop that feeds the queue turns: at least every 5 s."""
        self._ticked = self._clock()

    def watching(self, task: asyncio.Task[None]) -> None:
        """This task watches; from now on it must not end, and every watch must list in time."""
        self._watching, self._since = task, self._clock()

    def listed(self, watch: str) -> None:
        """This watch has listed. Raises KeyError for one that was not named at first."""
        if watch not in self._listed:
            raise KeyError(watch)
        self._listed[watch] = True

    @contextmanager
    def working(self, key: Hashable) -> Iterator[None]:
        """Around one reconcile of a key; a key is worked on by one worker at a time."""
        self._working[key] = self._clock()
        try:
            yield
        finally:
            del self._working[key]

    def checks(self) -> tuple[Check, ...]:
        """All there is to say, now."""
        return (self._check_loop(), self._check_watching(), *self._check_watches(), self._check_queue())

    def _check_loop(self) -> Check:
        age = self._clock() - self._ticked
        fine = age < TICK_MAX_S
        return Check("loop", fine, fine, f"ticked {age:.1f} s ago")

    def _check_watching(self) -> Check:
        if self._watching is None:
            return Check("watching", True, False, "not started yet")
        runs = not self._watching.done()
        return Check("watching", runs, runs, "goes on" if runs else "has ended")

    def _check_watches(self) -> Iterator[Check]:
        waited = 0.0 if self._watching is None else self._clock() - self._since
        for watch, listed in self._listed.items():
            text = "listed" if listed else f"not listed after {waited:.0f} s"
            yield Check(f"watch of {watch}", listed or waited < LISTED_WITHIN_S, listed, text)

    def _check_queue(self) -> Check:
        longest = max(((self._clock() - t, key) for key, t in self._working.items()), default=None, key=_age)
        if longest is None:
            return Check("queue", True, True, "no worker is busy")
        fine = longest[0] < RECONCILE_MAX_S
        return Check("queue", fine, fine, f"{longest[1]} is worked on for {longest[0]:.1f} s")


def application(liveness: Liveness, metrics: Metrics) -> web.Application:
    """To be served with `listen.serving(application(...), settings.health_port)`."""

    async def healthz(_: web.Request) -> web.Response:
        checks = liveness.checks()
        return _answer(checks, all(check.alive for check in checks))

    async def readyz(_: web.Request) -> web.Response:
        checks = liveness.checks()
        return _answer(checks, all(check.ready for check in checks))

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", show_metrics)
    return app


def _answer(checks: Iterable[Check], fine: bool) -> web.Response:
    status = HTTPStatus.OK if fine else HTTPStatus.SERVICE_UNAVAILABLE
    return web.Response(status=status, text="".join(f"{check}\n" for check in checks))


def _age(entry: tuple[float, Hashable]) -> float:
    return entry[0]
