"""The whole operator: watches feed the store and the queue, workers reconcile, until told to stop.

No key is worked on before every watch has listed: a Job that is only not known yet must not look gone. If any
part dies, all of it does, and the process ends: it keeps nothing, so that a restart is always right.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from wan_core.api.crd import PLURAL
from wan_core.api.spec import API_VERSION
from wan_operator.cluster.api import Api, open_api
from wan_operator.cluster.connection import Connection
from wan_operator.cluster.events import Recorder
from wan_operator.cluster.health import Liveness, application
from wan_operator.cluster.inventories import Inventories
from wan_operator.cluster.listen import serving
from wan_operator.cluster.logs import about
from wan_operator.cluster.measured import Measured
from wan_operator.cluster.metrics import Metrics
from wan_operator.cluster.names import PART_LABELS
from wan_operator.cluster.objects import Key, Objects
from wan_operator.cluster.progress import ProgressInbox, Reporting
from wan_operator.cluster.reconcile import Looked, Reconciler, StaleView
from wan_operator.cluster.refusals import Conflict, Refusal, Unavailable
from wan_operator.cluster.served import until_others
from wan_operator.cluster.settings import ClusterSettings
from wan_operator.cluster.sinks import JobSink, NodeSink, PodSink, VideoSink
from wan_operator.cluster.startup import (
    CRD_PATIENCE_S,
    SCHEMA_PATIENCE_S,
    check_schema,
    wait_for_crd,
    wait_for_namespaces,
)
from wan_operator.cluster.stories import Stories
from wan_operator.cluster.watches import Kind, Sink, watch
from wan_operator.cluster.work_queue import WorkQueue

GRACE_S = 8.0  # for reconciles under way when told to stop
TICK_S = 1.0
FIRST_LOOK_S = 30.0  # from the start: longer than that nothing new is waited for
PAUSE_MAX_S = 5.0  # that a worker keeps still because the API server asked for it

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What the operator consists of. `sinks` by what is watched."""

    settings: ClusterSettings
    api: Api
    objects: Objects
    queue: WorkQueue[Key]
    inventories: Inventories
    inbox: ProgressInbox
    recorder: Recorder
    metrics: Metrics
    liveness: Liveness
    reconciler: Reconciler
    sinks: tuple[tuple[Kind, Sink], ...]


async def operate(settings: ClusterSettings, connection: Connection, stop: asyncio.Event) -> None:
    """Run until `stop` is set. Raises NotReady if the cluster lacks something, or whatever a part died of."""
    metrics = Metrics()
    liveness = Liveness(kind.plural for kind in watched(settings))
    async with AsyncExitStack() as stack:
        limits = settings.api.writes_per_second, settings.api.write_burst
        api = await stack.enter_async_context(open_api(connection, *limits, metrics.called_api))
        await stack.enter_async_context(serving(application(liveness, metrics), settings.health_port))
        served = await _started(api, settings.namespaces, liveness, stop)
        if served is None:
            return
        parts = assemble(settings.model_copy(update={"namespaces": served}), api, metrics, liveness)
        await stack.enter_async_context(serving(parts.inbox.application(), settings.report.port))
        log.info("serving %s", ", ".join(served))
        if absent := [name for name in settings.namespaces if name not in served]:
            log.warning("not serving %s: gone, or without the chart's Role", ", ".join(absent))
        await run_parts(parts, connection, stop, settings.namespaces)


async def run_parts(
    parts: Parts, connection: Connection, stop: asyncio.Event, namespaces: Sequence[str]
) -> None:
    """All that runs side by side, until `stop` is set or others of the namespaces can be served, or one of it
    fails.
    """

    async def end_with_others() -> None:
        await until_others(parts.api, namespaces, parts.settings.namespaces)
        stop.set()

    listed = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch_all(parts, connection, listed, stop), name="watching")
        parts.liveness.watching(watching)
        tasks = [
            watching,
            group.create_task(work(parts, listed), name="working"),
            group.create_task(parts.recorder.run(), name="events"),
            group.create_task(turn(parts), name="turning"),
            group.create_task(resync(parts), name="resync"),
            group.create_task(end_with_others(), name="namespaces"),
        ]
        await stop.wait()
        log.info("stopping: %d keys wait", parts.queue.depth)
        await parts.queue.stop(GRACE_S)
        for task in tasks:
            task.cancel()


def watched(settings: ClusterSettings) -> list[Kind]:
    """What is watched, and where."""
    labels = ",".join(f"{name}={value}" for name, value in PART_LABELS.items())
    served = settings.namespaces
    everywhere = settings.inventory.occupancy == "cluster"
    return [
        Kind("v1", "nodes"),
        Kind(API_VERSION, PLURAL, served),
        Kind("batch/v1", "jobs", served, labels),
        Kind("v1", "pods", () if everywhere else served),
    ]


def assemble(settings: ClusterSettings, api: Api, metrics: Metrics, liveness: Liveness) -> Parts:
    """The parts, put together; nothing runs yet."""
    objects, queue = Objects(), WorkQueue[Key]()
    inventories = Inventories(objects, settings)
    inbox = ProgressInbox(
        service_account=settings.runner.service_account_name,
        review=api.review_token,
        known=lambda uid, attempt: find_reporting(objects, uid, attempt),
        notify=queue.add,
        metrics=metrics,
        quiet_s=settings.stall_after_s,
    )
    recorder = Recorder(api, metrics)
    measured = Measured(settings.planning.measurements, settings.catalogue)
    reconciler = Reconciler(
        api, objects, settings, inventories, Stories(api), inbox, recorder, metrics, measured
    )
    metrics.watch_queue(lambda: queue.depth)
    by_plural: dict[str, Sink] = {
        PLURAL: VideoSink(objects, queue, metrics, measured, reconciler.forget),
        "jobs": JobSink(objects, queue, metrics),
        "pods": PodSink(objects, queue, metrics, inventories, settings.inventory.gpu_resource),
        "nodes": NodeSink(objects, queue, metrics, inventories, settings.inventory),
    }
    sinks = tuple((kind, by_plural[kind.plural]) for kind in watched(settings))
    return Parts(
        settings, api, objects, queue, inventories, inbox, recorder, metrics, liveness, reconciler, sinks
    )


def find_reporting(objects: Objects, uid: str, attempt: int) -> Reporting | None:
    """Whose attempt that is, if it lives: its pod has not ended, or its Job where there is no pod yet."""
    key = objects.key_of_uid(uid)
    jobs = [job for job in objects.jobs.group(uid) if job.attempt == attempt and not job.end]
    pods = [pod for pod in objects.pods.group(uid) if pod.attempt == attempt]
    if key is None or not (jobs or pods) or any(pod.ended for pod in pods):
        return None
    return Reporting(key, pods[-1].uid if pods else None)


async def watch_all(parts: Parts, connection: Connection, listed: asyncio.Event, stop: asyncio.Event) -> None:
    """Every watch, for ever; `listed` is set once all that existed has been told. Then everything is looked
    at before it is told again, for up to `FIRST_LOOK_S`: with 10,000 resources kopf's listing takes as long.
    """
    started = time.monotonic()

    async def note() -> None:
        log.info("every watch has listed after %.1f s", time.monotonic() - started)
        for kind, _ in parts.sinks:
            parts.liveness.listed(kind.plural)
        listed.set()
        while parts.queue.depth and time.monotonic() < started + FIRST_LOOK_S:
            await asyncio.sleep(0.1)

    await watch(parts.api, connection, parts.sinks, note, parts.settings.api.resync_s, stop)


async def work(parts: Parts, listed: asyncio.Event) -> None:
    """The workers, from the moment when everything is known."""
    await listed.wait()

    async def do(key: Key) -> bool:
        return await look_at(parts, key)

    await parts.queue.work(do, parts.settings.api.workers)


async def look_at(parts: Parts, key: Key) -> bool:
    """One reconcile, and when to look again; False if the key must come back because something failed."""
    started = time.monotonic()
    result, looked = "unchanged", Looked()
    try:
        with parts.liveness.working(key):
            looked = await parts.reconciler.reconcile(key)
        result = "written" if looked.written else "unchanged"
    except (StaleView, Conflict) as error:
        result = "conflict"
        log.debug("again: %s", error, extra=about(*key))
    except Refusal as refusal:
        result = "error"
        log.warning("will be tried again: %s", refusal.message, extra=about(*key))
        if isinstance(refusal, Unavailable) and refusal.retry_after_s:
            await asyncio.sleep(min(refusal.retry_after_s, PAUSE_MAX_S))
    except Exception:  # our bug, met by one resource, must not stop the others
        result = "error"
        log.exception("a bug: please report it", extra=about(*key))
    parts.metrics.reconciled(result, time.monotonic() - started)
    if looked.again_s is not None:
        parts.queue.add_after(key, looked.again_s)
    return result in ("written", "unchanged")


async def turn(parts: Parts) -> None:
    """The heartbeat; and when the nodes offer something else, who waits for that is looked at. Of those
    whose pods wait for room a few are, each time: what was busy when they were planned may be free. So are
    a few of those that are suspended, when something else is busy than before: their ladders say what is.
    """
    offered = None
    while True:
        parts.liveness.tick()
        offer = parts.inventories.capacity()
        if offer is not offered:
            offered = offer
            for key in parts.reconciler.unplaced:
                parts.queue.add(key)
        reconciler = parts.reconciler
        for key in (*reconciler.queued.choose(), *reconciler.suspended.choose(parts.inventories.occupied)):
            parts.queue.add(key)
        await asyncio.sleep(TICK_S)


async def resync(parts: Parts) -> None:
    """Everything is looked at once in a while, spread over time, whatever events were missed."""
    period_s = parts.settings.api.resync_s
    while True:
        await asyncio.sleep(period_s)
        keys = parts.objects.keys()
        for place, key in enumerate(keys):
            parts.queue.add_after(key, period_s * place / len(keys))


async def _started(
    api: Api, namespaces: Sequence[str], liveness: Liveness, stop: asyncio.Event
) -> tuple[str, ...] | None:
    """The namespaces that can be served, once the cluster is as it must be; None if told to stop before."""
    checks = asyncio.ensure_future(_check(api, namespaces))
    stopped = asyncio.ensure_future(stop.wait())
    try:
        while not checks.done() and not stopped.done():
            liveness.tick()
            await asyncio.wait((checks, stopped), timeout=TICK_S, return_when=asyncio.FIRST_COMPLETED)
        return None if stopped.done() else await checks
    finally:
        checks.cancel()
        stopped.cancel()


async def _check(api: Api, namespaces: Sequence[str]) -> tuple[str, ...]:
    await wait_for_crd(api, CRD_PATIENCE_S)
    await check_schema(api, SCHEMA_PATIENCE_S)
    return await wait_for_namespaces(api, namespaces, SCHEMA_PATIENCE_S)
