"""Keys that are told as often as a bucket allows, none being lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from wan_operator.cluster.bucket import Bucket

K = TypeVar("K", bound=Hashable)


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
