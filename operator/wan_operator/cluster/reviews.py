"""Whose token it is, by TokenReview: remembered for a minute, asked once at a time, and bounded.

A token is kept as its SHA-256 only. What the API server could not say is not remembered.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wan_core.errors import NetworkError

Review = Callable[[str, list[str]], Awaitable[Mapping[str, Any] | None]]

GOOD_FOR_S = 60.0
BAD_FOR_S = 10.0  # a token that was refused: the API server is not asked at the rate of whoever guesses
REMEMBERED_MAX = 10_000
AT_ONCE_MAX = 8  # reviews under way
WAITING_MAX = 256  # that wait for their turn; more are sent away
POD_UID = "authentication.kubernetes.io/pod-uid"


class CannotReview(NetworkError):
    """The API server did not answer, or too many wait for it."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who a token belongs to, and the pod that it is bound to, if any."""

    username: str
    pod_uid: str | None


class Reviews:
    """`review(token, audiences)` is the `status` of a TokenReview; None where the API server gave none."""

    def __init__(self, review: Review, clock: Callable[[], float] = time.monotonic) -> None:
        self._review, self._clock = review, clock
        self._known: OrderedDict[bytes, tuple[float, Bearer | None]] = OrderedDict()
        self._asked: dict[bytes, asyncio.Task[Bearer | None]] = {}
        self._turn = asyncio.Semaphore(AT_ONCE_MAX)

    async def identify(self, token: str, audience: str) -> Bearer | None:
        """Whose token this is, None if it is not good for this audience. Raises CannotReview."""
        digest = hashlib.sha256(f"{audience} {token}".encode()).digest()
        until, bearer = self._known.get(digest, (0.0, None))
        if self._clock() < until:
            return bearer
        if digest not in self._asked:
            if len(self._asked) >= AT_ONCE_MAX + WAITING_MAX:
                raise CannotReview("too many tokens wait for their review")
            task = asyncio.create_task(self._ask(digest, token, audience))
            self._asked[digest] = task
            task.add_done_callback(lambda _: self._asked.pop(digest))
        return await asyncio.shield(self._asked[digest])  # others may wait for it too

    async def _ask(self, digest: bytes, token: str, audience: str) -> Bearer | None:
        async with self._turn:
            status = await self._review(token, [audience])
        if status is None:
            raise CannotReview("the API server did not review the token")
        bearer = read_bearer(status, audience)
        self._known[digest] = (self._clock() + (BAD_FOR_S if bearer is None else GOOD_FOR_S), bearer)
        self._known.move_to_end(digest)
        while len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)
        return bearer


def read_bearer(status: Mapping[str, Any], audience: str) -> Bearer | None:
    """The bearer that a TokenReview's status names; None unless it is authenticated for this audience.

    An API server that knows nothing of audiences answers without any: that is not enough.
    """
    if status.get("authenticated") is not True or audience not in (status.get("audiences") or ()):
        return None
    user = status.get("user") or {}
    pods = (user.get("extra") or {}).get(POD_UID) or [None]
    return Bearer(username=user.get("username", ""), pod_uid=pods[0] if len(pods) == 1 else None)
