"""Watches everything from outside while a test runs, and says what must never have been.

The laws hold at every moment, so they are checked on every event and not on the end state alone.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tests.controlplane.client import Api, ApiError, Document

GENERATIONS = "/apis/wan.video/v1alpha1/videogenerations"
JOBS = "/apis/batch/v1/jobs"
PODS = "/api/v1/pods"
FINISHED = ("Succeeded", "Failed", "Cancelled")


@dataclass(frozen=True)
class Moment:
    """One event: when it was seen, of which list, ADDED, MODIFIED or DELETED, and the object."""

    time: float
    path: str
    kind: str
    object: Document

    @property
    def namespace(self) -> str:
        return str(self.object["metadata"]["namespace"])

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])


class Witness:
    """Threads that watch VideoGenerations, Jobs and pods of all namespaces, relisting after each cut."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.moments: list[Moment] = []
        self._threads = [
            threading.Thread(target=self._follow, args=(path,), daemon=True)
            for path in (GENERATIONS, JOBS, PODS)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()

    def of(self, path: str, namespace: str, name: str = "") -> list[Moment]:
        """What was seen of a kind in a namespace, in order."""
        with self._lock:
            return [
                m
                for m in self.moments
                if m.path == path and m.namespace == namespace and name in ("", m.name)
            ]

    def statuses(self, namespace: str, name: str) -> list[Document]:
        """Every status that a watcher of the resource saw."""
        return [m.object.get("status", {}) for m in self.of(GENERATIONS, namespace, name)]

    def phases(self, namespace: str, name: str) -> list[str]:
        """The phases in the order in which they came, each change once."""
        phases: list[str] = []
        for status in self.statuses(namespace, name):
            phase = status.get("phase", "")
            if phase and phases[-1:] != [phase]:
                phases.append(phase)
        return phases

    def check(self, namespace: str) -> None:
        """The laws, for one namespace. Raises AssertionError naming the first one broken."""
        check_one_living_attempt(self.of(PODS, namespace))
        check_finished_stays(self.of(GENERATIONS, namespace))

    def _follow(self, path: str) -> None:
        while not self._stop.is_set():
            try:
                for event in self._watched(path):
                    with self._lock:
                        self.moments.append(event)
                    if self._stop.is_set():
                        return
            except (ApiError, OSError, ValueError, KeyError):
                self._stop.wait(0.3)  # the API server is away: tests do that

    def _watched(self, path: str) -> Iterator[Moment]:
        listed = self._api.get(path)
        for item in listed["items"]:
            yield Moment(time.monotonic(), path, "ADDED", item)
        version = listed["metadata"]["resourceVersion"]
        for event in self._api.watch(path, version, timeout_s=300):
            if event["type"] != "BOOKMARK":
                yield Moment(time.monotonic(), path, event["type"], event["object"])


def check_one_living_attempt(pods: list[Moment]) -> None:
    """Never two pods of a resource that may both go on: a pod on its way out does not count as going on."""
    going: dict[str, set[str]] = defaultdict(set)
    for moment in pods:
        uid = labels_of(moment.object).get("wan.video/uid")
        if uid is None:
            continue
        ended = moment.object.get("status", {}).get("phase") in ("Succeeded", "Failed")
        leaving = "deletionTimestamp" in moment.object["metadata"]
        if moment.kind == "DELETED" or ended or leaving:
            going[uid].discard(moment.name)
        else:
            going[uid].add(moment.name)
        assert len(going[uid]) <= 1, f"two attempts at once: {sorted(going[uid])}"


def check_finished_stays(generations: list[Moment]) -> None:
    """A finished resource never changes its end."""
    ends: dict[str, str] = {}
    for moment in generations:
        uid = moment.object["metadata"]["uid"]
        phase = moment.object.get("status", {}).get("phase", "")
        if uid in ends:
            assert phase == ends[uid], f"{moment.name} was {ends[uid]} and became {phase}"
        if phase in FINISHED:
            ends[uid] = phase


def labels_of(document: Document) -> dict[str, Any]:
    return dict(document["metadata"].get("labels", {}))
