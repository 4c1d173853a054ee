"""How often something may be done: a token bucket whose takers are served in the order in which they came."""

from __future__ import annotations

import asyncio
import time


class TokenBucket:
    """`burst` at once, and `per_second` in the long run."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second, self._burst = per_second, burst
        self._level, self._since = float(burst), time.monotonic()

    async def take(self) -> None:
        """Returns when it is this taker's turn."""
        now = time.monotonic()
        self._level = min(self._burst, self._level + (now - self._since) * self._per_second) - 1
        self._since = now
        if self._level < 0:
            await asyncio.sleep(-self._level / self._per_second)
