"""kopf as the informer runtime: what exists, and every event about it, told to a sink. No handler waits here.

kopf lists and watches each kind, in the served namespaces, and resumes what breaks off. Three things it does
not tell are made good here: all that exists at the start (we list it ourselves, before kopf begins); what was
deleted while a watch was broken (`retain` after a list of ours: on a timer, and at once when kopf is seen to
list anew); and that it has died, as it does of an ERROR event that is no 410: `watch` raises then, the
process ends, and a restart is right.

Not kopf's indices, which hold handlers back until every list is in: their cost grows with the square of the
objects (docs/decisions/011).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from secrets import token_hex
from typing import Any, Protocol

import kopf

from wan_core.api.spec import GROUP
from wan_operator.cluster.api import Api
from wan_operator.cluster.connection import Connection
from wan_operator.cluster.refusals import Refusal
from wan_operator.cluster.stopping import stop_on_signals

PAGE = 250  # objects; a page of Jobs is about 3 MB of JSON
LOGIN_S = 60.0  # after which kopf asks for the token again: the kubelet renews it
IDLE_S = 0.2  # that kopf keeps an object's worker; it costs memory, and a new one is cheap
SETTLE_S = 1.0  # from the first sign of kopf's listing anew to ours: it comes once for all objects
RETRY_S = 5.0
FIRST_LOOKS_S = (1.0, 9.0, 20.0)  # at what is gone, after the start: nobody tells when kopf's lists are in
FIRST_BACK_OFFS_S, LONGEST_BACK_OFF_S = (0.5, 1.0, 2.0, 4.0), 8.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """A resource of the API server, everywhere (no namespace) or in some."""

    api_version: str
    plural: str
    namespaces: tuple[str, ...] = ()
    labels: str = ""  # a selector

    @property
    def places(self) -> Sequence[str | None]:
        return self.namespaces or (None,)

    @property
    def selector(self) -> tuple[str, str, str]:
        """Group, version and plural, as kopf wants them."""
        group, _, version = self.api_version.rpartition("/")
        return group, version, self.plural

    def query(self, limit: int) -> dict[str, str]:
        """Of a list in pages of `limit`."""
        return {"limit": str(limit)} | ({"labelSelector": self.labels} if self.labels else {})


class Sink(Protocol):
    """Where documents go. Versions are resourceVersions as numbers."""

    def put(self, document: Mapping[str, Any], event: str | None) -> None:
        """It exists, and looks like this. `event`: ADDED or MODIFIED, None from a list."""

    def drop(self, document: Mapping[str, Any]) -> None:
        """It is gone; this is how it looked last."""

    def holds(self, uid: str) -> bool:
        """Whether it is known."""

    def retain(self, namespace: str | None, uids: set[str], version: int) -> None:
        """At `version` there were only these in the namespace (None: anywhere)."""


class Patience:
    """Seconds between kopf's tries of one request: it never gives up, for a restart would not help."""

    def __iter__(self) -> Iterator[float]:
        return chain(FIRST_BACK_OFFS_S, repeat(LONGEST_BACK_OFF_S))


class NoMemory(kopf.DiffBaseStorage):
    """Nothing is kept in objects, so nothing that a user wrote there is read: kopf's own storage would."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        raise AssertionError("there are no handlers of changes")


@dataclass
class Scope:
    """One operator of kopf's: where it looks, and at what."""

    namespaces: tuple[str, ...]
    watches: list[Watch]


@dataclass
class Watch:
    """One kind and its sink; `listed_anew` is set when kopf is seen to list it again."""

    kind: Kind
    sink: Sink
    listed_anew: asyncio.Event = field(default_factory=asyncio.Event)


async def watch(
    api: Api,
    connection: Connection,
    sinks: Iterable[tuple[Kind, Sink]],
    on_listed: Callable[[], Awaitable[None]],
    relist_s: float,
    stop: asyncio.Event,
) -> None:
    """Tell the sinks for ever; `on_listed` is awaited once, when they know all that exists: kopf, which tells
    everything again, begins after it.

    Raises what kopf died of; it never returns. Signals set `stop`.
    """
    watches = [Watch(kind, sink) for kind, sink in sinks]
    for each in watches:
        await list_until_done(api, each)
    await on_listed()
    async with asyncio.TaskGroup() as group:
        for scope in divide(watches):
            group.create_task(run_kopf(connection, scope, stop))
        for each in watches:
            group.create_task(repair(api, each, relist_s))
        group.create_task(look_again(watches))


def divide(watches: Sequence[Watch]) -> list[Scope]:
    """What one operator of kopf's can watch: it looks into the same namespaces for all, but for nodes."""
    scopes: dict[tuple[str, ...], Scope] = {}
    for each in watches:
        if each.kind.plural != "nodes":
            scopes.setdefault(each.kind.namespaces, Scope(each.kind.namespaces, [])).watches.append(each)
    first = next(iter(scopes.values()))
    first.watches += [each for each in watches if each.kind.plural == "nodes"]
    return list(scopes.values())


async def run_kopf(connection: Connection, scope: Scope, stop: asyncio.Event) -> None:
    """kopf, for ever. Raises RuntimeError if it ends."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(lambda **_: log_in(connection))
    for each in scope.watches:
        register(registry, scope, each)
    others = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=registry,
        settings=build_settings(scope.watches),
        namespaces=scope.namespaces,
        clusterwide=not scope.namespaces,
        standalone=True,
    )
    stop_on_signals(stop)  # kopf took them
    await kopf.run_tasks(tasks, ignored=others)
    raise RuntimeError("kopf has ended")


def build_settings(watches: Sequence[Watch]) -> kopf.OperatorSettings:
    """kopf without anything that writes, scans or keeps."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.queueing.idle_timeout = IDLE_S
    settings.watching.chunk_size = PAGE
    settings.networking.error_backoffs = Patience()
    settings.persistence.diffbase_storage = NoMemory()
    settings.persistence.finalizer = f"{GROUP}/{token_hex(16)}"  # what has it is patched: nobody knows it
    for each in watches:
        if each.kind.labels:
            settings.watching.label_selectors[each.kind.selector] = each.kind.labels
    return settings


def log_in(connection: Connection) -> kopf.ConnectionInfo:
    """Who we are, as of now."""
    return kopf.ConnectionInfo(
        server=connection.server,
        ca_path=connection.ca_path,
        certificate_path=connection.certificate_path,
        private_key_path=connection.private_key_path,
        insecure=connection.insecure,
        token=connection.token.read() or None,
        expiration=datetime.now(UTC) + timedelta(seconds=LOGIN_S),
    )


def register(registry: kopf.OperatorRegistry, scope: Scope, each: Watch) -> None:
    """The handler that tells the sink. When it hears of a list anew, other kinds may have become empty."""

    @kopf.on.event(*each.kind.selector, registry=registry, id=f"{each.kind.plural}-told")
    async def tell(event: Mapping[str, Any], uid: str, **_: Any) -> None:
        kind, document = event["type"], event["object"]
        if kind == "DELETED":
            each.sink.drop(document)
            return
        if kind is None and each.sink.holds(uid):
            for one in scope.watches:
                one.listed_anew.set()
        each.sink.put(document, kind)


async def look_again(watches: Sequence[Watch]) -> None:
    """What is deleted between our first list and kopf's own is told by neither."""
    for pause in FIRST_LOOKS_S:
        await asyncio.sleep(pause)
        for each in watches:
            each.listed_anew.set()


async def list_until_done(api: Api, each: Watch, *, gone_only: bool = False) -> None:
    """Tell the sink all that exists, or what does not, however long the API server refuses."""
    while True:
        try:
            for namespace in each.kind.places:
                await list_all(api, each.kind, namespace, each.sink, gone_only=gone_only)
            return
        except Refusal as refusal:
            log.warning("listing %s: %s; again in %.0f s", each.kind.plural, refusal.message, RETRY_S)
            await asyncio.sleep(RETRY_S)


async def repair(api: Api, each: Watch, relist_s: float) -> None:
    """For ever: every `relist_s` the sink is told everything; when kopf lists anew, what is gone."""
    while True:
        try:
            async with asyncio.timeout(relist_s):  # `wait_for` of Python 3.11 swallows a cancellation
                await each.listed_anew.wait()
        except TimeoutError:
            await list_until_done(api, each)
            continue
        await asyncio.sleep(SETTLE_S)  # it is told object by object
        each.listed_anew.clear()
        await list_until_done(api, each, gone_only=True)


async def list_all(
    api: Api, kind: Kind, namespace: str | None, sink: Sink, *, gone_only: bool = False
) -> None:
    """Tell the sink all that exists there, page by page, and then what does not. Raises Refusal.

    With `gone_only` just the latter, from lists of metadata.
    """
    uids: set[str] = set()
    query = kind.query(limit=PAGE)
    while True:
        page = await api.list_page(kind.api_version, namespace, kind.plural, query, metadata_only=gone_only)
        for item in page.get("items") or ():
            uids.add(item["metadata"]["uid"])
            if not gone_only:
                sink.put(item, None)
        metadata = page["metadata"]
        if not metadata.get("continue"):
            break
        query["continue"] = metadata["continue"]
        await asyncio.sleep(0)
    sink.retain(namespace, uids, int(metadata["resourceVersion"]))
