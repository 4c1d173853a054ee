"""Few Events about a VideoGeneration, for `kubectl describe`. Best effort: the status is what counts.

What to tell is computed from the old and the new status alone, and only from texts of the status, which hold
no prompt. Telling never delays a reconcile; what is too much is dropped and counted. The count of an Event
that was there before this process began is not known, so it is left as it is.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from wan_core.api.spec import API_VERSION, KIND
from wan_core.api.status import Metadata, Status
from wan_operator.cluster.bucket import Bucket
from wan_operator.cluster.logs import about
from wan_operator.cluster.metrics import Metrics
from wan_operator.cluster.names import FIELD_MANAGER
from wan_operator.cluster.refusals import Refusal
from wan_operator.cluster.sentences import NORMAL, Sentence, read_change

POSTED_PER_S, POSTED_BURST = 10.0, 50  # of all: what is left of the API server is for Jobs and statuses
OBJECT_PER_S, OBJECT_BURST = 1 / 30, 20  # about one resource
WAITING_MAX = 1000  # of each type
REMEMBERED_MAX = 4096

log = logging.getLogger(__name__)


class EventWriter(Protocol):
    """The part of Api that writes Events. Everything else that goes wrong is a Refusal."""

    async def create_event(self, namespace: str, event: Mapping[str, Any]) -> bool:
        """False if one of that name exists already."""
        ...

    async def patch_event(self, namespace: str, name: str, patch: Mapping[str, Any]) -> bool:
        """Merge patch; False if there is none of that name any more."""
        ...


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence about a resource, said at a time."""

    metadata: Metadata
    sentence: Sentence
    time: datetime


class Recorder:
    """Posts Events in the background; warnings first."""

    def __init__(
        self, api: EventWriter, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api, self._metrics, self._clock = api, metrics, clock
        self._bucket = Bucket(POSTED_PER_S, POSTED_BURST, clock)
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()  # by uid
        self._counts: OrderedDict[str, int | None] = OrderedDict()  # by the Event's name; None: not known
        self._warnings: deque[Notice] = deque()
        self._others: deque[Notice] = deque()
        self._filled = asyncio.Event()

    def tell(self, metadata: Metadata, old: Status, new: Status) -> None:
        """Call after `new` was written in place of `old`. Never blocks, never raises."""
        for sentence in read_change(old, new):
            queue = self._others if sentence.type == NORMAL else self._warnings
            if len(queue) >= WAITING_MAX or not self._may(metadata.uid):
                self._metrics.told("dropped")
                continue
            queue.append(Notice(metadata, sentence, datetime.now(UTC)))
            self._filled.set()

    async def run(self) -> None:
        """Post until cancelled: one task of the operator."""
        while True:
            await self._filled.wait()
            while wait_s := self._bucket.take():
                await asyncio.sleep(wait_s)
            notice = (self._warnings or self._others).popleft()
            if not self._warnings and not self._others:
                self._filled.clear()
            await self._post(notice)

    async def _post(self, notice: Notice) -> None:
        metadata = notice.metadata
        try:
            repeated = await self._write(notice)
        except Refusal as error:
            self._metrics.told("failed")
            where = about(metadata.namespace, metadata.name, metadata.uid)
            log.info("an Event could not be posted: %s", error, extra=where)
            return
        self._metrics.told("repeated" if repeated else "posted")

    async def _write(self, notice: Notice) -> bool:
        """Write the Event; whether it was there already. One that the API server forgot is made anew."""
        namespace, name = notice.metadata.namespace, event_name(notice)
        if name not in self._counts:
            if await self._api.create_event(namespace, build_event(notice)):
                self._remember(name, 1)
                return False
            self._remember(name, None)
            await self._api.patch_event(namespace, name, build_patch(notice, None))
            return True
        known = self._counts[name]
        count = known + 1 if known is not None else None
        if await self._api.patch_event(namespace, name, build_patch(notice, count)):
            self._remember(name, count)
            return True
        await self._api.create_event(namespace, build_event(notice))
        self._remember(name, 1)
        return False

    def _may(self, uid: str) -> bool:
        bucket = self._buckets.setdefault(uid, Bucket(OBJECT_PER_S, OBJECT_BURST, self._clock))
        self._buckets.move_to_end(uid)
        if len(self._buckets) > REMEMBERED_MAX:
            self._buckets.popitem(last=False)
        return bucket.take() == 0

    def _remember(self, name: str, count: int | None) -> None:
        self._counts[name] = count
        self._counts.move_to_end(name)
        if len(self._counts) > REMEMBERED_MAX:
            self._counts.popitem(last=False)


def event_name(notice: Notice) -> str:
    """The same for the same words about the same resource: so they are told once, and counted."""
    sentence = notice.sentence
    words = "\0".join((notice.metadata.uid, sentence.type, sentence.reason, sentence.message))
    return f"{notice.metadata.name[:200].rstrip('.-')}.{hashlib.sha256(words.encode()).hexdigest()[:16]}"


def build_event(notice: Notice) -> dict[str, Any]:
    """The core/v1 Event, told once."""
    metadata, sentence, when = notice.metadata, notice.sentence, _rfc3339(notice.time)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": event_name(notice), "namespace": metadata.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": metadata.namespace,
            "name": metadata.name,
            "uid": metadata.uid,
        },
        "type": sentence.type,
        "reason": sentence.reason,
        "message": sentence.message,
        "count": 1,
        "firstTimestamp": when,
        "lastTimestamp": when,
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
    }


def build_patch(notice: Notice, count: int | None) -> dict[str, Any]:
    """What changes when the same is told again; the count only where it is known."""
    when = {"lastTimestamp": _rfc3339(notice.time)}
    return when if count is None else when | {"count": count}


def _rfc3339(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
