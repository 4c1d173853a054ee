"""Which keys are to be worked on, each by one worker at a time, none lost.

A key added while it waits is one entry; added while it is being worked on, it is worked on again afterwards.
Later adds wait for their time, the earliest wins. Failures back off, key by key. Urgent keys go first, but
every few turns an ordinary one does. Nothing here touches the network.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S = 0.2, 30.0
FAIR_TURN = 8  # each eighth key is an ordinary one, if there is any

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """Belongs to one event loop; every method but `work` and `stop` is plain and immediate."""

    def __init__(self) -> None:
        self._urgent: deque[K] = deque()
        self._ordinary: deque[K] = deque()
        self._waiting: dict[K, bool] = {}  # in a lane; the value says urgent
        self._working: set[K] = set()
        self._again: dict[K, bool] = {}  # being worked on, to be added after
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0  # breaks ties in the heap: keys need no order
        self._failures: dict[K, int] = {}
        self._turn = 0
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._stopping = False

    @property
    def depth(self) -> int:
        """How many keys are to be worked on now."""
        return len(self._waiting) + len(self._again)

    def add(self, key: K, *, urgent: bool = False) -> None:
        """Work on it as soon as possible."""
        if key in self._working:
            self._again[key] = urgent or self._again.get(key, False)
        elif key not in self._waiting:
            self._waiting[key] = urgent
            (self._urgent if urgent else self._ordinary).append(key)
            self._wake.set()
        elif urgent and not self._waiting[key]:
            self._waiting[key] = True  # its entry in the other lane is skipped
            self._urgent.append(key)

    def add_after(self, key: K, delay_s: float) -> None:
        """Work on it after `delay_s`, unless an earlier time is set already."""
        due = asyncio.get_running_loop().time() + max(delay_s, 0.0)
        if self._due.get(key, due) < due:
            return
        self._due[key] = due
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, key))
        self._set_timer()

    def forget(self, key: K) -> None:
        """It is no more: no later add, no failures."""
        self._due.pop(key, None)
        self._failures.pop(key, None)

    async def work(self, do: Callable[[K], Awaitable[bool]], workers: int) -> None:
        """Work until stopped. `do` says whether it went well; if not, its key comes back after a while.

        What `do` raises ends the work and escapes.
        """
        async with asyncio.TaskGroup() as group:
            self._workers = [group.create_task(self._worker(do)) for _ in range(workers)]

    async def stop(self, grace_s: float) -> None:
        """No new key is begun; those under way get `grace_s` to be finished."""
        self._stopping = True
        self._wake.set()
        _, late = await asyncio.wait(self._workers, timeout=grace_s) if self._workers else (None, ())
        for worker in late:
            worker.cancel()

    async def _worker(self, do: Callable[[K], Awaitable[bool]]) -> None:
        while (key := await self._take()) is not None:
            try:
                well = await do(key)
            finally:
                self._working.discard(key)
            self._done(key, well)

    async def _take(self) -> K | None:
        """The next key, None once stopping."""
        while not self._stopping:
            key = self._next()
            if key is not None:
                self._working.add(key)
                return key
            self._wake.clear()
            await self._wake.wait()
        return None

    def _next(self) -> K | None:
        self._turn += 1
        fair = self._turn % FAIR_TURN == 0
        lanes = (self._ordinary, self._urgent) if fair else (self._urgent, self._ordinary)
        for lane in lanes:
            while lane:
                key = lane.popleft()
                if self._waiting.get(key) is (lane is self._urgent):
                    del self._waiting[key]
                    return key
        return None

    def _done(self, key: K, well: bool) -> None:
        urgent = self._again.pop(key, None)
        if well:
            self._failures.pop(key, None)
            if urgent is not None:
                self.add(key, urgent=urgent)
            return
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self.add_after(key, back_off_s(failures) * random.uniform(0.5, 1.0))

    def _set_timer(self) -> None:
        """One timer, for the earliest of the later adds."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # an earlier add or `forget` took its place
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            self._timer = asyncio.get_running_loop().call_at(self._heap[0][0], self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)
        self._set_timer()


def back_off_s(failures: int) -> float:
    """0.2 s, doubled with each failure, at most 30 s."""
    return min(FIRST_BACK_OFF_S * float(2 ** min(failures - 1, 16)), LONGEST_BACK_OFF_S)
