"""kopf as the informer runtime: what exists, and every event about it, told to a sink. No handler waits here.

kopf lists and watches each kind, in the served namespaces, and resumes what breaks off. Three things it does
not tell are made good here: when everything that existed at the start has been told (`on_listed`; an index
holds all handlers back until every list is in); what was deleted while a watch was broken (the next
`list_all` says so by `retain`: on a timer, and at once when kopf is seen to list anew); and that it has died,
as it does of an ERROR event that is no 410: `watch` raises then, the process ends, and a restart is right.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
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
POLL_S = 0.5  # between looks at whether all has been told
SETTLE_S = 1.0  # from the first sign of kopf's listing anew to ours: it comes once for all objects
RETRY_S = 5.0
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
    """One operator of kopf's: where it looks, at what, and what of the first lists has not been told yet."""

    namespaces: tuple[str, ...]
    watches: list[Watch]
    indexed: bool = False
    untold: set[str] = field(default_factory=set)

    @property
    def told(self) -> bool:
        return self.indexed and not self.untold


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
    on_listed: Callable[[], None],
    relist_s: float,
    stop: asyncio.Event,
) -> None:
    """Tell the sinks for ever; `on_listed` is called once, when all that existed has been told.

    Raises what kopf died of; it never returns. Signals set `stop`.
    """
    scopes = divide([Watch(kind, sink) for kind, sink in sinks])
    async with asyncio.TaskGroup() as group:
        for scope in scopes:
            group.create_task(run_kopf(connection, scope, stop))
            for each in scope.watches:
                group.create_task(repair(api, each, relist_s))
        await until_told(api, scopes)
        on_listed()


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
    """An index that notes what the first list holds, and a handler that tells the sink."""
    plural = each.kind.plural

    @kopf.index(*each.kind.selector, registry=registry, id=f"{plural}-listed")
    async def note(uid: str, **_: Any) -> None:
        if not scope.indexed:
            scope.untold.add(uid)

    @kopf.on.event(*each.kind.selector, registry=registry, id=f"{plural}-told")
    async def tell(event: Mapping[str, Any], uid: str, **_: Any) -> None:
        scope.indexed = True  # kopf calls no handler before every list is in the indices
        scope.untold.discard(uid)
        kind, document = event["type"], event["object"]
        if kind == "DELETED":
            each.sink.drop(document)
            return
        if kind is None and each.sink.holds(uid):
            each.listed_anew.set()
        each.sink.put(document, kind)


async def until_told(api: Api, scopes: Sequence[Scope]) -> None:
    """Returns once each scope has told all that there was at the start; of an empty one nothing is told."""
    while not all(scope.told for scope in scopes):
        await asyncio.sleep(POLL_S)
        for scope in scopes:
            if not scope.indexed and await is_empty(api, scope):
                scope.indexed = True


async def is_empty(api: Api, scope: Scope) -> bool:
    """Whether there is certainly nothing at all of what it watches."""
    for kind in (each.kind for each in scope.watches):
        for namespace in kind.places:
            try:
                page = await api.list_page(kind.api_version, namespace, kind.plural, kind.query(limit=1))
            except Refusal:
                return False
            if page.get("items"):
                return False
    return True


async def repair(api: Api, each: Watch, relist_s: float) -> None:
    """For ever: what the sink holds is made equal to a list, every `relist_s` and when kopf lists anew."""
    while True:
        with suppress(TimeoutError):
            await asyncio.wait_for(each.listed_anew.wait(), relist_s)
            await asyncio.sleep(SETTLE_S)  # it is told object by object
        each.listed_anew.clear()
        try:
            for namespace in each.kind.places:
                await list_all(api, each.kind, namespace, each.sink)
        except Refusal as refusal:
            log.warning("listing %s: %s; again in %.0f s", each.kind.plural, refusal.message, RETRY_S)
            await asyncio.sleep(RETRY_S)
            each.listed_anew.set()


async def list_all(api: Api, kind: Kind, namespace: str | None, sink: Sink) -> None:
    """Tell the sink all that exists there, page by page, and then what does not. Raises Refusal."""
    uids: set[str] = set()
    query = kind.query(limit=PAGE)
    while True:
        page = await api.list_page(kind.api_version, namespace, kind.plural, query)
        for item in page.get("items") or ():
            uids.add(item["metadata"]["uid"])
            sink.put(item, None)
        metadata = page["metadata"]
        if not metadata.get("continue"):
            break
        query["continue"] = metadata["continue"]
        await asyncio.sleep(0)
    sink.retain(namespace, uids, int(metadata["resourceVersion"]))
