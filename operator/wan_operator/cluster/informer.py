"""List, then watch, for ever: what exists on the API server, told to a sink. No handler waits here.

A list is told page by page, then `retain` says what of the sink's is gone: whatever a broken watch missed,
the deletions above all, is made good by the next list. A watch that breaks off is resumed where it was; one
that the server no longer remembers (410), or that it ends with an error, begins with a list again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from wan_operator.cluster.api import Api
from wan_operator.cluster.refusals import Gone, Refusal, Unavailable, refusal_of

PAGE = 250  # objects; a page of Jobs is about 3 MB of JSON
SILENCE_S = 90.0  # the server sends a bookmark every minute
WATCH_S = (240, 480)  # how long one watch request lasts, drawn by chance
FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S = 0.5, 15.0
TURN = 100  # events after which others get the loop

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """A resource of the API server, everywhere (None) or in one namespace."""

    api_version: str
    plural: str
    namespace: str | None = None
    labels: str = ""  # a selector

    @property
    def title(self) -> str:
        return f"{self.plural} in {self.namespace}" if self.namespace else self.plural


class Sink(Protocol):
    """Where documents go. Versions are resourceVersions as numbers."""

    def put(self, document: Mapping[str, Any], event: str | None) -> None:
        """It exists, and looks like this. `event`: ADDED or MODIFIED, None from a list."""

    def drop(self, document: Mapping[str, Any]) -> None:
        """It is gone; this is how it looked last."""

    def retain(self, namespace: str | None, uids: set[str], version: int) -> None:
        """At `version` there were only these in the namespace (None: anywhere)."""


@dataclass
class Place:
    """Where a watch stands: the last resourceVersion seen; empty: a list must come first."""

    version: str = ""


async def follow(api: Api, kind: Kind, sink: Sink, listed: Callable[[str], None], relist_s: float) -> None:
    """Tell the sink for ever. `listed` hears the kind's title after each complete list.

    There is another list when a watch ends `relist_s` after the last one: whatever got lost on the way.
    """
    place, listed_at = Place(), 0.0
    back_off_s = FIRST_BACK_OFF_S
    while True:
        try:
            if not place.version or time.monotonic() - listed_at > relist_s:
                place.version = await list_all(api, kind, sink)
                listed_at = time.monotonic()
                listed(kind.title)
            back_off_s = FIRST_BACK_OFF_S
            await watch_on(api, kind, sink, place)
        except Gone:
            place.version = ""
        except Refusal as refusal:
            log.warning("watching %s: %s; again in %.1f s", kind.title, refusal.message, back_off_s)
            await asyncio.sleep(back_off_s * random.uniform(0.5, 1.0))
            back_off_s = min(2 * back_off_s, LONGEST_BACK_OFF_S)


async def list_all(api: Api, kind: Kind, sink: Sink) -> str:
    """Tell the sink all that exists; the resourceVersion of the list. Raises Gone if it took too long."""
    uids: set[str] = set()
    query = {"limit": str(PAGE)} | ({"labelSelector": kind.labels} if kind.labels else {})
    while True:
        page = await api.list_page(kind.api_version, kind.namespace, kind.plural, query)
        for item in page.get("items") or ():
            uids.add(item["metadata"]["uid"])
            sink.put(item, None)
        metadata = page["metadata"]
        if not metadata.get("continue"):
            break
        query["continue"] = metadata["continue"]
        await asyncio.sleep(0)
    version = str(metadata["resourceVersion"])
    sink.retain(kind.namespace, uids, int(version))
    return version


async def watch_on(api: Api, kind: Kind, sink: Sink, place: Place) -> None:
    """Tell the sink what changes from `place` on, moving it, until the watch ends."""
    query = {
        "resourceVersion": place.version,
        "allowWatchBookmarks": "true",
        "timeoutSeconds": str(random.randint(*WATCH_S)),
    }
    query |= {"labelSelector": kind.labels} if kind.labels else {}
    count = 0
    async for event in api.watch(kind.api_version, kind.namespace, kind.plural, query, SILENCE_S):
        take(event, sink, place)
        count += 1
        if count % TURN == 0:
            await asyncio.sleep(0)


def take(event: Mapping[str, Any], sink: Sink, place: Place) -> None:
    """One event of a watch. Raises the refusal that an ERROR event means; a list must follow it."""
    what, document = event.get("type"), event.get("object")
    if what == "ERROR" or not isinstance(document, dict):
        place.version = ""
        raise error_of(document)
    if what == "DELETED":
        sink.drop(document)
    elif what in ("ADDED", "MODIFIED"):
        sink.put(document, what)
    place.version = document["metadata"]["resourceVersion"]


def error_of(status: object) -> Refusal:
    """What an ERROR event says: a metav1.Status in the stream."""
    if not isinstance(status, dict) or not isinstance(status.get("code"), int):
        return Unavailable(f"the watch broke off: {status!r:.500}")
    message = str(status.get("message") or status.get("reason") or "no words")
    return refusal_of(status["code"], message.encode("utf-8", "replace"))
