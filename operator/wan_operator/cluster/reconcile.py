"""One resource: see how it stands, decide, act, write its status once. Then say when to look again.

Everything is done before this returns, and all that it relies on is read from the store or, where a stale
view would do harm, from the API server itself: before an attempt of a resource that has a history is started,
and before a Job that should run, or the pod of one that has ended, is believed to be gone. It may be
interrupted between any two calls.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from wan_core.api.status import Status
from wan_core.plan.calibration import Calibration
from wan_core.plan.inventory import Inventory
from wan_operator.cluster.api import Api
from wan_operator.cluster.attempts import observe_attempts, unexplained
from wan_operator.cluster.events import Recorder
from wan_operator.cluster.inventories import Inventories
from wan_operator.cluster.job import build_job
from wan_operator.cluster.logs import about
from wan_operator.cluster.measured import Measured
from wan_operator.cluster.metrics import Metrics
from wan_operator.cluster.objects import Key, Objects, version_of
from wan_operator.cluster.outdated import digest_settings, mark_outdated
from wan_operator.cluster.pods import JobFacts, PodFacts, read_job, read_pod
from wan_operator.cluster.progress import ProgressInbox
from wan_operator.cluster.queued import Queued
from wan_operator.cluster.refusals import AlreadyExists, Conflict, Forbidden, Invalid, NotFound, TooLarge
from wan_operator.cluster.refused import Refused, tell_refused
from wan_operator.cluster.s3_access import tell_credentials
from wan_operator.cluster.settings import ClusterSettings, PlanningSettings
from wan_operator.cluster.stories import Stories
from wan_operator.cluster.suspended import Suspended
from wan_operator.cluster.videos import Video, is_settled, read_status, read_video
from wan_operator.decide import decide
from wan_operator.reasons import Reason
from wan_operator.terms import Terms
from wan_operator.world import (
    Action,
    Decision,
    DeleteAttempt,
    DeleteResource,
    Settings,
    StartAttempt,
    StopAttempt,
    World,
)

ROUNDS = 3  # a started attempt is seen, and told, in the same reconcile

log = logging.getLogger(__name__)


class StaleView(Exception):
    """The store lagged behind; it holds the truth now. Reconcile again."""


@dataclass(frozen=True)
class Looked:
    """What came of a reconcile: whether a status was written, and the seconds after which to look again
    (None: only events matter).
    """

    written: bool = False
    again_s: float | None = None


@dataclass
class Reconciler:
    """What a reconcile needs, and the few things that are kept between two: all of it may be lost."""

    api: Api
    objects: Objects
    settings: ClusterSettings
    inventories: Inventories
    stories: Stories
    inbox: ProgressInbox
    recorder: Recorder
    metrics: Metrics
    measured: Measured
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    unplaced: set[Key] = field(default_factory=set)  # have no pod; what the nodes offer is told to them anew
    refused: dict[str, Refused] = field(default_factory=dict)  # by uid: the API server took no Job
    queued: Queued = field(default_factory=Queued)  # have a pod for which no node has room
    suspended: Suspended = field(default_factory=Suspended)  # show what is busy without waiting for it

    def __post_init__(self) -> None:
        self.started = self.now()
        self.digest = digest_settings(self.settings)

    async def reconcile(self, key: Key) -> Looked:
        """Bring it forward.

        Raises StaleView, and the Refusals after which a retry may help.
        """
        await self._delete(self._orphans(key))
        document = self.objects.video(key)
        if document is None:
            return Looked()
        uid = str(document["metadata"]["uid"])
        if is_settled(document) and not self._remains(uid):
            self.metrics.track(uid, read_status(document["status"])[0])
            self._settle(key, uid)
            return Looked()
        video = read_video(document)
        if video.deleting:
            await self._stop_all(video)
            return Looked()
        return await self._forward(video)

    async def _forward(self, video: Video) -> Looked:
        looks: list[float | None] = []
        for _ in range(ROUNDS):
            world, look_s = await self._observe(video)
            decision = decide(world, self.now())
            self.queued.note(video.key, world, decision)
            looks = [look_s, decision.requeue_after_s]
            if not await self._act(video, decision):
                break
        status, retry_s = self._tell(video, decision)
        looks.append(retry_s)
        written = not video.written or status != video.status
        if written:
            await self._write(video, world, status)
            if any(not attempt.lives for attempt in world.attempts):
                looks.append(0.0)  # what is written may now be tidied up
        self.metrics.track(video.metadata.uid, status)
        self._remember(video, status)
        return Looked(written, min((s for s in looks if s is not None), default=None))

    async def _observe(self, video: Video) -> tuple[World, float | None]:
        """The world, and after how many seconds the clock or an Event may change it."""
        uid, now = video.metadata.uid, self.now()
        jobs, pods = self.objects.jobs.group(uid), await self._pods(video)
        texts, look_s = await self.stories.about(unexplained(jobs, pods, now))
        attempts, changes = observe_attempts(jobs, pods, self.inventories.nodes_ready(), texts, now)
        await self._confirm_gone(video, {a.number for a in attempts})
        lives = any(a.lives for a in attempts)
        world = World(
            metadata=video.metadata,
            spec=video.spec,
            status=video.status,
            inventory=self._inventory(video, lives),
            settings=world_settings(self.settings),
            problems=video.problems,
            attempts=mark_outdated(attempts, jobs, self.digest, self.started),
            progress=self.inbox.latest(uid, attempts[-1].number) if lives else None,
            free=self.inventories.occupied() if self.queued.may_be_made_anew(video.key) else None,
            terms=build_terms(self.settings.planning, self.measured.table_for(uid, lives)),
        )
        looks = [look_s, (changes - now).total_seconds() if changes is not None else None]
        return world, min((s for s in looks if s is not None), default=None)

    def _inventory(self, video: Video, lives: bool) -> Inventory:
        """What its own attempt takes does not count against it, while it lives or when it has just ended."""
        if lives:
            return self.inventories.capacity()
        just_ended = any(attempt.outcome == "Running" for attempt in video.status.attempts)
        return self.inventories.occupied(at_once=just_ended)

    async def _confirm_gone(self, video: Video, seen: set[int]) -> None:
        """Before an attempt that should run is believed gone, the API server is asked about both."""
        missing = [a for a in video.status.attempts if a.outcome == "Running" and a.number not in seen]
        for attempt in missing:
            try:
                document = await self.api.get_job(video.metadata.namespace, attempt.job)
            except NotFound:
                continue
            if self._take_job(video, document) is not None:
                raise StaleView(f"Job {attempt.job} exists")
        if missing:
            await self._check_current(video)

    async def _pods(self, video: Video) -> list[PodFacts]:
        """Its pods. Before that of a Job that has just ended is believed gone, the API server is asked: the
        watch of Jobs may be ahead of that of pods, and only the pod tells how it ended.
        """
        uid = video.metadata.uid
        pods = self.objects.pods.group(uid)
        told = {a.number for a in video.status.attempts if a.outcome != "Running"} | {p.attempt for p in pods}
        if all(not job.end or job.attempt in told for job in self.objects.jobs.group(uid)):
            return pods
        for document in await self.api.list_pods(video.metadata.namespace, uid):
            facts = read_pod(document, self.settings.inventory.gpu_resource)
            if self.objects.pods.put(facts.uid, version_of(document), facts, facts.owner_uid):
                self.inventories.pods_changed()  # the watch will have no news of it
        return self.objects.pods.group(uid)

    async def _check_current(self, video: Video) -> None:
        """Raises StaleView, with the store mended, if the API server has a later version of the resource."""
        try:
            document = await self.api.get_video(*video.key)
        except NotFound:
            self.objects.drop_video(video.metadata.uid)
            raise StaleView("the resource is gone") from None
        if version_of(document) != int(video.version):
            self.objects.put_video(document)
            raise StaleView(f"version {video.version} is not the current one")

    async def _act(self, video: Video, decision: Decision) -> bool:
        """Carry out the actions; whether the world is another now."""
        again = False
        for action in decision.actions:
            again |= await self._do(video, action)
        return again

    async def _do(self, video: Video, action: Action) -> bool:
        match action:
            case StartAttempt():
                return await self._start(video, action)
            case StopAttempt(number=number) | DeleteAttempt(number=number):
                jobs = self.objects.jobs.group(video.metadata.uid)
                await self._delete([job for job in jobs if job.attempt == number])
            case DeleteResource():
                await self.api.delete_video(*video.key, video.metadata.uid)
        return False

    async def _start(self, video: Video, action: StartAttempt) -> bool:
        """Create the Job. False if the API server takes none: `refused` holds its words then."""
        assert video.spec is not None  # nothing is started of what could not be read
        if video.status.observed_generation is not None:
            await self._check_current(video)
        uid, number = video.metadata.uid, action.task.attempt
        extra = about(*video.key, uid, number)
        try:
            job = build_job(video.metadata, action.task, self.settings, video.spec)
            document = await self.api.create_job(video.metadata.namespace, job)
            log.info("created Job %s", action.job, extra=extra)
        except AlreadyExists:
            document = await self.api.get_job(video.metadata.namespace, action.job)
        except (Forbidden, Invalid, TooLarge, NotFound) as refusal:
            return self._refuse(uid, refusal.message, extra)
        facts = self._take_job(video, document)
        if facts is None or facts.attempt != number:
            return self._refuse(uid, f"a Job named {action.job} exists and is another's", extra)
        self.refused.pop(uid, None)
        return True

    def _refuse(self, uid: str, words: str, extra: dict[str, Any]) -> bool:
        before = self.refused.get(uid)
        self.refused[uid] = Refused(words, before.times + 1 if before is not None else 1)
        log.warning("no Job was created: %s", words, extra=extra)
        return False

    def _take_job(self, video: Video, document: dict[str, Any]) -> JobFacts | None:
        """Put a Job that was just read or made into the store; None if it is not this resource's."""
        facts = read_job(document)
        if facts is None or facts.owner_uid != video.metadata.uid:
            return None
        self.objects.put_job(facts, version_of(document))
        return facts

    async def _stop_all(self, video: Video) -> None:
        """The resource is being deleted: its Jobs go too, and nothing is written."""
        await self._delete(self.objects.jobs.group(video.metadata.uid))

    def _orphans(self, key: Key) -> list[JobFacts]:
        """Jobs of a resource of that name that was deleted without them: nobody else would ever stop them."""
        return [job for job in self.objects.jobs.group("") if (job.namespace, job.owner_name) == key]

    async def _delete(self, jobs: list[JobFacts]) -> None:
        for job in jobs:
            if job.deleting is None:
                await self.api.delete_job(job.namespace, job.name, job.uid)
                self.objects.mark_deleted(job, self.now())
                extra = about(job.namespace, job.owner_name, job.owner_uid, job.attempt)
                log.info("deleted Job %s", job.name, extra=extra)

    def _tell(self, video: Video, decision: Decision) -> tuple[Status, float | None]:
        """The status to write, and when to try again what was refused."""
        refused = self.refused.get(video.metadata.uid)
        if refused is None or not any(isinstance(a, StartAttempt) for a in decision.actions):
            self.refused.pop(video.metadata.uid, None)
            return decision.status, None
        return tell_refused(decision.status, refused, self.now()), refused.retry_s

    async def _write(self, video: Video, world: World, status: Status) -> None:
        """Apply the status to the very version that was read. Raises StaleView if there is a later one."""
        metadata = video.metadata
        try:
            document = await self.api.apply_status(*video.key, metadata.uid, video.version, status.to_dict())
        except (Conflict, NotFound):
            await self._check_current(video)
            raise
        self.objects.put_video(document)
        self.measured.note(document)
        self.metrics.changed(video.status, status, world.attempts)
        self.recorder.tell(metadata, video.status, status)

    def _remember(self, video: Video, status: Status) -> None:
        if status.reason in (Reason.NO_PLAN_FITS, Reason.SUSPENDED) and not status.phase.finished:
            self.unplaced.add(video.key)
        else:
            self.unplaced.discard(video.key)
        self.queued.keep(video.key, status)
        self.suspended.keep(video.key, status)
        if status.phase.finished:
            self._settle(video.key, video.metadata.uid)

    def _settle(self, key: Key, uid: str) -> None:
        self.unplaced.discard(key)
        self.queued.drop(key)
        self.suspended.drop(key)
        self.refused.pop(uid, None)
        self.inbox.forget(uid)
        self.measured.forget(uid)

    def _remains(self, uid: str) -> bool:
        return bool(self.objects.jobs.group(uid))

    def forget(self, key: Key, uid: str) -> None:
        """The resource is gone."""
        self._settle(key, uid)
        self.metrics.untrack(uid)


def build_terms(planning: PlanningSettings, table: Calibration) -> Terms:
    """What is planned by: the administrator's word, and what was measured."""
    return Terms(
        rates=planning.rates,
        price_list=tuple(sorted(planning.prices_per_gpu_hour.items())),
        order=planning.order,
        calibration=table,
    )


def world_settings(settings: ClusterSettings) -> Settings:
    """The administrator's side of a decision, on a cluster."""
    return Settings(
        weights=settings.weights,
        output=settings.output,
        image_buckets=settings.image_buckets,
        report_url=settings.report.url,
        inventory_may_grow=True,
        stall_after_s=settings.stall_after_s,
        one_shape=True,
        priority_class_names=settings.runner.priority_class_names,
        credentials=tell_credentials(settings.s3),
        models=settings.catalogue,
    )
