"""Attempts as the cluster shows them: Jobs and pods in, `Observed` out. Pure. Every end gets its category."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from wan_core.task import Result
from wan_operator.world import Observed


@dataclass(frozen=True, slots=True)
class JobFacts:
    """One Job of ours, compact. `owner_uid` is the VideoGeneration's; `end` is empty while it is active."""

    namespace: str
    name: str
    uid: str
    owner_uid: str
    owner_name: str
    attempt: int
    plans: tuple[str, ...]  # labels of the rungs that its Task carries, best first
    task_digest: str
    created: datetime
    deleting: datetime | None = None
    end: Literal["", "Complete", "Failed"] = ""
    ended: datetime | None = None
    story: str = ""  # of a Failed condition: reason and message


@dataclass(frozen=True, slots=True)
class PodFacts:
    """One pod, compact: a runner of ours (`owner_uid` is its VideoGeneration's), or another that takes room.

    `deleting` is when its grace ends. `waiting`, `reason` and `message` are the platform's own words.
    """

    namespace: str
    name: str
    uid: str
    owner_uid: str = ""
    job_uid: str = ""
    attempt: int = 0
    node: str | None = None
    phase: str = "Pending"
    gpus: int = 0
    memory: int = 0  # bytes requested
    created: datetime | None = None
    deleting: datetime | None = None
    started: datetime | None = None
    finished: datetime | None = None
    exit_code: int | None = None
    reason: str = ""  # of the container's end, or of the pod's
    message: str = ""
    disruption: str = ""  # the DisruptionTarget condition's words
    waiting: tuple[str, str] | None = None
    result: Result | None = None

    @property
    def ended(self) -> bool:
        return self.phase in ("Succeeded", "Failed")


def read_job(document: Mapping[str, Any]) -> JobFacts | None:
    """The Job, if it is an attempt of a VideoGeneration; else None."""
    raise NotImplementedError


def read_pod(document: Mapping[str, Any], gpu_resource: str = "nvidia.com/gpu") -> PodFacts:
    """The pod, whosever it is."""
    raise NotImplementedError


def observe_attempts(
    jobs: Iterable[JobFacts],
    pods: Iterable[PodFacts],
    nodes_ready: Mapping[str, bool],
    refusals: Mapping[str, str],
    now: datetime,
) -> tuple[tuple[Observed, ...], datetime | None]:
    """The attempts of one resource by number, and when the clock alone would change that (None: never).

    `nodes_ready` by node name (an absent node is gone), `refusals` by Job uid: its FailedCreate event's text.
    """
    raise NotImplementedError


def without_pod(jobs: Iterable[JobFacts], pods: Iterable[PodFacts], now: datetime) -> Sequence[JobFacts]:
    """The active Jobs that should have a pod by now and have none: their FailedCreate events tell why."""
    raise NotImplementedError
