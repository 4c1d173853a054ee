"""Watches everything from outside while a test runs, and says what must never have been.

The laws hold at every moment, so they are checked on every event and not on the end state alone.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from http.client import HTTPException
from types import TracebackType
from typing import Any, Self

from tests.controlplane.client import Api, ApiError, Document

GENERATIONS = "/apis/wan.video/v1alpha1/videogenerations"
JOBS = "/apis/batch/v1/jobs"
PODS = "/api/v1/pods"
FINISHED = ("Succeeded", "Failed", "Cancelled")
OUTPUT = ("manifest.json", "video.mp4")


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
        check_one_job_per_attempt(self.of(JOBS, namespace))
        check_finished_stays(self.of(GENERATIONS, namespace))

    def check_strictly(self, namespace: str) -> None:
        """The laws where no node is lost and no Job is taken away by others."""
        self.check(namespace)
        check_one_living_attempt(self.of(PODS, namespace), leaving_lives=True)
        check_status_tells_all(self.of(GENERATIONS, namespace), self.of(JOBS, namespace))

    def _follow(self, path: str) -> None:
        """A watch that ends goes on where it was: what lived between two lists would not be seen."""
        version = ""
        while not self._stop.is_set():
            try:
                version = version or self._list(path)
                for event in self._api.watch(path, version, timeout_s=300):
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        self._note(path, event["type"], event["object"])
                    if self._stop.is_set():
                        return
            except (ApiError, OSError, HTTPException, ValueError, KeyError) as error:
                if isinstance(error, ApiError) and error.status == 410:
                    version = ""
                self._stop.wait(0.3)  # the API server is away: tests do that

    def _list(self, path: str) -> str:
        """Note all that is there, and what is no more; the version at which it was so."""
        listed = self._api.get(path)
        there = {item["metadata"]["uid"] for item in listed["items"]}
        for uid, gone in self._present(path).items():
            if uid not in there:
                self._note(path, "DELETED", gone)
        for item in listed["items"]:
            self._note(path, "ADDED", item)
        return str(listed["metadata"]["resourceVersion"])

    def _note(self, path: str, kind: str, document: Document) -> None:
        with self._lock:
            self.moments.append(Moment(time.monotonic(), path, kind, document))

    def _present(self, path: str) -> dict[str, Document]:
        """What was there when last looked at, by uid."""
        present: dict[str, Document] = {}
        with self._lock:
            for moment in self.moments:
                uid = moment.object["metadata"]["uid"]
                if moment.path != path:
                    continue
                if moment.kind == "DELETED":
                    present.pop(uid, None)
                else:
                    present[uid] = moment.object
        return present


def check_one_living_attempt(pods: list[Moment], *, leaving_lives: bool = False) -> None:
    """Never pods of two attempts of a resource that may both go on.

    A pod on its way out does not count as going on, unless `leaving_lives`. Two pods of one attempt are the
    Job controller's: where the answer to a creation is lost it makes another pod, and takes one back ("the
    same program may sometimes be started twice", Kubernetes' page on Jobs); the output is fenced.
    """
    going: dict[str, dict[str, int]] = defaultdict(dict)
    for moment in pods:
        if (attempt := attempt_of(moment.object)) is None:
            continue
        uid, number = attempt
        ended = moment.object.get("status", {}).get("phase") in ("Succeeded", "Failed")
        leaving = "deletionTimestamp" in moment.object["metadata"]
        if moment.kind == "DELETED" or ended or (leaving and not leaving_lives):
            going[uid].pop(moment.name, None)
        else:
            going[uid][moment.name] = number
        assert len(set(going[uid].values())) <= 1, f"two attempts at once: {sorted(going[uid])}"


def check_one_job_per_attempt(jobs: list[Moment]) -> None:
    """No attempt ever had a second Job."""
    made: dict[tuple[str, int], set[str]] = defaultdict(set)
    for moment in jobs:
        if (attempt := attempt_of(moment.object)) is not None:
            made[attempt].add(moment.object["metadata"]["uid"])
            assert len(made[attempt]) == 1, f"attempt {attempt[1]} of {moment.name} has had two Jobs"


def check_status_tells_all(generations: list[Moment], jobs: list[Moment]) -> None:
    """The attempts of every finished resource are the Jobs that there were."""
    made: dict[str, set[int]] = defaultdict(set)
    for moment in jobs:
        if (attempt := attempt_of(moment.object)) is not None:
            made[attempt[0]].add(attempt[1])
    for uid, last in {m.object["metadata"]["uid"]: m.object for m in generations}.items():
        status = last.get("status", {})
        if status.get("phase") in FINISHED:
            told = [a["number"] for a in status.get("attempts", [])]
            name = last["metadata"]["name"]
            assert told == sorted(made[uid]), f"{name} tells of {told}, there were Jobs {sorted(made[uid])}"


def check_one_output(name: str, keys: list[str]) -> None:
    """Of a resource that succeeded S3 holds one video and its manifest, of one attempt."""
    places = {key.rpartition("/")[0] for key in keys}
    files = sorted(key.rpartition("/")[2] for key in keys)
    assert len(places) == 1, f"{name} has outputs of {sorted(places)}"
    assert files == list(OUTPUT), f"{name} left {files}"


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


def attempt_of(job: Document) -> tuple[str, int] | None:
    """The resource's uid and the attempt's number, by the Job's labels."""
    labels = labels_of(job)
    if "wan.video/uid" not in labels:
        return None
    return labels["wan.video/uid"], int(labels["wan.video/attempt"])


def labels_of(document: Document) -> dict[str, Any]:
    return dict(document["metadata"].get("labels", {}))
