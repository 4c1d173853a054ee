"""What only Events tell: why a Job has no pod, why a pod's volumes are not mounted. Asked sparingly."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wan_core.api.status import LINE_MAX
from wan_operator.cluster.api import Api
from wan_operator.cluster.bucket import Bucket
from wan_operator.cluster.pods import JobFacts, PodFacts
from wan_operator.cluster.refusals import Forbidden

TELLING = frozenset({"FailedCreate", "FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"})
FIRST_AGAIN_S, LONGEST_AGAIN_S = 5.0, 60.0
ASKS_PER_SECOND, ASKS_BURST = 10.0, 20
STORIES_MAX = 5_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Story:
    """What was told at `asked`; to be asked again after `again_s`."""

    text: str | None
    asked: float
    again_s: float


class Stories:
    """The last word of the Events about an object, by its uid."""

    def __init__(self, api: Api, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._budget = Bucket(ASKS_PER_SECOND, ASKS_BURST, clock)
        self._told: OrderedDict[str, Story] = OrderedDict()

    async def about(self, hanging: Iterable[JobFacts | PodFacts]) -> tuple[dict[str, str], float | None]:
        """The texts by uid, and in how many seconds there may be more to tell (None: nothing hangs)."""
        texts: dict[str, str] = {}
        next_s: float | None = None
        for thing in hanging:
            story = await self._ask(thing)
            if story.text is not None:
                texts[thing.uid] = story.text
            rest_s = max(story.asked + story.again_s - self._clock(), 0.1)
            next_s = rest_s if next_s is None else min(next_s, rest_s)
        return texts, next_s

    async def _ask(self, thing: JobFacts | PodFacts) -> Story:
        old = self._told.get(thing.uid)
        now = self._clock()
        if old is not None and now < old.asked + old.again_s:
            return old
        if self._budget.take() > 0:
            return Story(old.text if old is not None else None, now, FIRST_AGAIN_S)
        text = await self._read(thing)
        again_s = min(2 * old.again_s, LONGEST_AGAIN_S) if old is not None else FIRST_AGAIN_S
        story = Story(text if text is not None or old is None else old.text, now, again_s)
        self._told[thing.uid] = story
        self._told.move_to_end(thing.uid)
        if len(self._told) > STORIES_MAX:
            self._told.popitem(last=False)
        return story

    async def _read(self, thing: JobFacts | PodFacts) -> str | None:
        try:
            return last_word(await self._api.list_events(thing.namespace, thing.uid))
        except Forbidden as refusal:  # the status can do without
            log.warning("reading Events: %s", refusal.message)
            return None


def last_word(events: Iterable[Mapping[str, Any]]) -> str | None:
    """The message of the latest Event that tells why something hangs."""
    telling = [event for event in events if event.get("reason") in TELLING and event.get("message")]
    latest = max(telling, key=_time_of, default=None)
    return str(latest["message"])[:LINE_MAX] if latest is not None else None


def _time_of(event: Mapping[str, Any]) -> str:
    """RFC 3339 in UTC sorts as text."""
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return str(next((t for t in times if t), ""))
