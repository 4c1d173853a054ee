"""How often something may be done: a token bucket, and keys that are told as it allows, none being lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Bucket:
    """`burst` at once, and `per_s` in the long run."""

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._level, self._since = float(burst), clock()

    def take(self) -> float:
        """0 if one was taken; else the seconds until there is one."""
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._since) * self._per_s)
        self._since = now
        if self._level >= 1:
            self._level -= 1
            return 0.0
        return (1 - self._level) / self._per_s


class Pace(Generic[K]):
    """Calls `act(key)` for each key that was asked for, oldest first, as often as the bucket allows.

    A key that waits already is not queued twice: whoever is told looks at the latest state anyway.
    """

    def __init__(self, act: Callable[[K], None], bucket: Bucket) -> None:
        self._act, self._bucket = act, bucket
        self._waiting: dict[K, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def ask(self, key: K) -> None:
        """Act on this key as soon as it may be."""
        self._waiting[key] = None
        if self._timer is None:
            self._drain()

    def _drain(self) -> None:
        self._timer = None
        while self._waiting:
            wait_s = self._bucket.take()
            if wait_s > 0:
                self._timer = asyncio.get_running_loop().call_later(wait_s, self._drain)
                return
            key = next(iter(self._waiting))
            del self._waiting[key]
            self._act(key)
