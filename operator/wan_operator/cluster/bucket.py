"""How often something may be done: a token bucket, for those who can do without and for those who wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Bucket:
    """`burst` at once, and `per_s` in the long run."""

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._level, self._since = float(burst), clock()

    def take(self) -> float:
        """0 if one was taken; else the seconds until there is one."""
        self._fill()
        if self._level < 1:
            return (1 - self._level) / self._per_s
        self._level -= 1
        return 0.0

    def owe(self) -> float:
        """Take one in any case: the seconds until it is there, which are more for each who comes later."""
        self._fill()
        self._level -= 1
        return max(0.0, -self._level / self._per_s)

    async def turn(self) -> None:
        """Returns when it is this taker's turn; they are served in the order in which they came."""
        if (wait_s := self.owe()) > 0:
            await asyncio.sleep(wait_s)

    def _fill(self) -> None:
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._since) * self._per_s)
        self._since = now
