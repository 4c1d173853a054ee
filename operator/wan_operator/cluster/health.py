"""Whether the operator is alive and ready, told over HTTP: /healthz, /readyz, /metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterable
from contextlib import AbstractContextManager

from aiohttp import web

from wan_operator.cluster.metrics import Metrics


class Liveness:
    """What the runtime says about itself as it goes."""

    def __init__(self, watches: Iterable[str]) -> None:
        raise NotImplementedError

    def tick(self) -> None:
        """The loop turns: call at least every 5 s from a task of its own."""
        raise NotImplementedError

    def watching(self, kopf: asyncio.Task[None]) -> None:
        """kopf was started as this task; from now on its watches must list in time."""
        raise NotImplementedError

    def listed(self, watch: str) -> None:
        """This watch has listed."""
        raise NotImplementedError

    def working(self, key: Hashable) -> AbstractContextManager[None]:
        """Around one reconcile of a key."""
        raise NotImplementedError


def application(liveness: Liveness, metrics: Metrics) -> web.Application:
    """To be served with `listen.serving(application(...), settings.health_port)`."""
    raise NotImplementedError
