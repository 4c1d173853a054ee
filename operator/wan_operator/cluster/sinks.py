"""From the watches into the store, and who is to be looked at because of it. Nothing waits here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from wan_operator.cluster.inventories import Inventories
from wan_operator.cluster.measured import Measured
from wan_operator.cluster.metrics import Metrics
from wan_operator.cluster.nodes import NodeFacts, read_node
from wan_operator.cluster.objects import Key, Objects, Shelf, key_of, version_of
from wan_operator.cluster.pods import JobFacts, PodFacts, read_job, read_pod
from wan_operator.cluster.settings import InventorySettings
from wan_operator.cluster.work_queue import WorkQueue

Document = Mapping[str, Any]
F = TypeVar("F", JobFacts, PodFacts, NodeFacts)
DELETED = "DELETED"


class VideoSink:
    """VideoGenerations. One without a status yet is urgent: a Job is to be made for it."""

    def __init__(
        self,
        objects: Objects,
        queue: WorkQueue[Key],
        metrics: Metrics,
        measured: Measured,
        forget: Callable[[Key, str], None],
    ) -> None:
        self._objects, self._queue, self._metrics = objects, queue, metrics
        self._measured, self._forget = measured, forget

    def put(self, document: Document, event: str | None) -> None:
        self._metrics.saw_event("videogenerations", event)
        if self._objects.put_video(document):
            self._measured.note(document)
            self._queue.add(key_of(document), urgent=not document.get("status"))

    def drop(self, document: Document) -> None:
        self._metrics.saw_event("videogenerations", DELETED)
        self._gone(key_of(document), str(document["metadata"]["uid"]))

    def holds(self, uid: str) -> bool:
        return self._objects.key_of_uid(uid) is not None

    def retain(self, namespace: str | None, uids: set[str], version: int) -> None:
        for uid in self._objects.uids(namespace, version):
            key = self._objects.key_of_uid(uid)
            if uid not in uids and key is not None:
                self._gone(key, uid)

    def _gone(self, key: Key, uid: str) -> None:
        leaves_jobs = bool(self._objects.jobs.group(uid))
        self._objects.drop_video(uid)
        self._forget(key, uid)
        if self._objects.uid_of(key) is None:
            self._queue.forget(key)
        if leaves_jobs:
            self._queue.add(key)  # the garbage collector stops them too, but it may be late by half a minute


class ShelfSink(ABC, Generic[F]):
    """How what is no more leaves its shelf; `_changed` looks at those whom an object concerns."""

    plural: ClassVar[str]

    def __init__(self, shelf: Shelf[F], metrics: Metrics) -> None:
        self._shelf: Shelf[F] = shelf
        self._metrics = metrics

    @abstractmethod
    def put(self, document: Document, event: str | None) -> None: ...

    @abstractmethod
    def _changed(self, facts: F) -> None: ...

    def drop(self, document: Document) -> None:
        self._metrics.saw_event(self.plural, DELETED)
        self._gone(str(document["metadata"]["uid"]))

    def holds(self, uid: str) -> bool:
        return uid in self._shelf

    def retain(self, namespace: str | None, uids: set[str], version: int) -> None:
        for uid in absent(self._shelf, namespace, uids, version):
            self._gone(uid)

    def _gone(self, uid: str) -> None:
        facts = self._shelf.drop(uid)
        if facts is not None:
            self._changed(facts)


class JobSink(ShelfSink[JobFacts]):
    """Our Jobs: their owner is looked at whenever something about one matters."""

    plural = "jobs"

    def __init__(self, objects: Objects, queue: WorkQueue[Key], metrics: Metrics) -> None:
        super().__init__(objects.jobs, metrics)
        self._objects, self._queue = objects, queue

    def put(self, document: Document, event: str | None) -> None:
        self._metrics.saw_event(self.plural, event)
        facts = read_job(document)
        if facts is not None and self._objects.put_job(facts, version_of(document)):
            self._changed(facts)

    def _changed(self, facts: JobFacts) -> None:
        self._queue.add((facts.namespace, facts.owner_name))


class PodSink(ShelfSink[PodFacts]):
    """Pods: those of our attempts, and all others that take room on a node."""

    plural = "pods"

    def __init__(
        self,
        objects: Objects,
        queue: WorkQueue[Key],
        metrics: Metrics,
        inventories: Inventories,
        gpu_resource: str,
    ) -> None:
        super().__init__(objects.pods, metrics)
        self._objects, self._queue = objects, queue
        self._inventories, self._gpu_resource = inventories, gpu_resource

    def put(self, document: Document, event: str | None) -> None:
        self._metrics.saw_event(self.plural, event)
        facts = read_pod(document, self._gpu_resource)
        if facts.ended and not facts.owner_uid:
            self._gone(facts.uid)
        elif self._shelf.put(facts.uid, version_of(document), facts, facts.owner_uid):
            self._changed(facts)

    def _changed(self, facts: PodFacts) -> None:
        self._inventories.pods_changed()
        key = self._objects.key_of_uid(facts.owner_uid)
        if key is not None:
            self._queue.add(key)


class NodeSink(ShelfSink[NodeFacts]):
    """Nodes. One whose readiness changed may have lost attempts: their owners are looked at."""

    plural = "nodes"

    def __init__(
        self,
        objects: Objects,
        queue: WorkQueue[Key],
        metrics: Metrics,
        inventories: Inventories,
        settings: InventorySettings,
    ) -> None:
        super().__init__(objects.nodes, metrics)
        self._objects, self._queue = objects, queue
        self._inventories, self._settings = inventories, settings

    def put(self, document: Document, event: str | None) -> None:
        self._metrics.saw_event(self.plural, event)
        uid, facts = str(document["metadata"]["uid"]), read_node(document, self._settings)
        if facts is None:
            return
        before = self._shelf.get(uid)
        if self._shelf.put(uid, version_of(document), facts):
            self._inventories.nodes_changed()
            if before is not None and before.value.ready != facts.ready:
                self._look_at_attempts(facts.name)

    def _changed(self, facts: NodeFacts) -> None:
        self._inventories.nodes_changed()
        self._look_at_attempts(facts.name)

    def _look_at_attempts(self, node: str) -> None:
        owners = {pod.owner_uid for pod in self._objects.pods.values() if pod.node == node}
        for key in map(self._objects.key_of_uid, owners):
            if key is not None:
                self._queue.add(key)


def absent(shelf: Shelf[F], namespace: str | None, uids: set[str], version: int) -> list[str]:
    """What the shelf holds of the namespace (None: of all) from `version` or before, and is not in `uids`."""
    return [
        uid
        for uid, entry in shelf.items()
        if uid not in uids
        and entry.version <= version
        and namespace in (None, getattr(entry.value, "namespace", None))
    ]
