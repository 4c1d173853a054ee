"""A resource's attempts as its Jobs and pods show them. Pure; how each kind of end counts is said in `judge`.

An attempt is one Job and its pod. It lives until its pod has ended; where the pod is gone, the Job tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from wan_core.errors import Category
from wan_operator.cluster.pods import START_ERRORS, JobFacts, PodFacts
from wan_operator.world import AttemptState, Observed

SILENT_AFTER = timedelta(seconds=15)  # from then on a Job without a pod, or a pod that is created, tells why
ABANDONED_AFTER = timedelta(seconds=60)  # beyond the grace period, on a node that does not answer

COUNTED_ONCE = "BackoffLimitExceeded"  # the Job's word for any failure of its one pod
CREATING = "ContainerCreating"  # what a pod says while its volumes are mounted, for ever if they cannot be

# What the kubelet says when a pod outgrew its own limits, and not the node's room.
OWN_DISK_LIMITS = (
    "exceeds the limit",
    "exceeds the total limit",
    "exceeded its local ephemeral storage limit",
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What exists of one attempt; one of the two at least."""

    job: JobFacts | None
    pod: PodFacts | None


def observe_attempts(
    jobs: Iterable[JobFacts],
    pods: Iterable[PodFacts],
    nodes_ready: Mapping[str, bool],
    explanations: Mapping[str, str],
    now: datetime,
) -> tuple[tuple[Observed, ...], datetime | None]:
    """The attempts of one resource by number, and when the clock alone would change that (None: never).

    `nodes_ready` by node name; a node that is not there is gone. `explanations` by uid of what `unexplained`
    names: the text of its FailedCreate or FailedMount event.
    """
    seen = _by_attempt(jobs, pods)
    observed = tuple(_observe(n, seen[n], nodes_ready, explanations, now) for n in sorted(seen))
    times = (t for s in seen.values() for t in (_silent_at(s), _abandoned_at(s, nodes_ready)))
    return observed, min((t for t in times if t is not None and t > now), default=None)


def unexplained(
    jobs: Iterable[JobFacts], pods: Iterable[PodFacts], now: datetime
) -> tuple[JobFacts | PodFacts, ...]:
    """What has hung too long without a word in its status: events about it may tell why."""
    silent = (s for s in _by_attempt(jobs, pods).values() if (at := _silent_at(s)) is not None and now >= at)
    return tuple(found for s in silent if (found := s.pod or s.job) is not None)


def _by_attempt(jobs: Iterable[JobFacts], pods: Iterable[PodFacts]) -> dict[int, Seen]:
    job_of = {job.attempt: job for job in jobs}
    pod_of: dict[int, PodFacts] = {}
    for pod in pods:
        known = pod_of.get(pod.attempt)
        if known is None or _precedence(pod) > _precedence(known):
            pod_of[pod.attempt] = pod
    return {n: Seen(job_of.get(n), pod_of.get(n)) for n in job_of.keys() | pod_of.keys()}


def _precedence(pod: PodFacts) -> tuple[bool, str, str]:
    """Of several pods of one Job the living one counts, else the last: the Job controller may replace one."""
    return not pod.ended, pod.created.isoformat() if pod.created is not None else "", pod.uid


def _silent_at(seen: Seen) -> datetime | None:
    """From when on an attempt that does not run owes an explanation."""
    job, pod = seen.job, seen.pod
    if pod is not None:
        mounts = pod.waiting is not None and pod.waiting[0] == CREATING and pod.deleting is None
        return pod.created + SILENT_AFTER if mounts and pod.created is not None else None
    return job.created + SILENT_AFTER if job is not None and not job.end and job.deleting is None else None


def _abandoned_at(seen: Seen, nodes_ready: Mapping[str, bool]) -> datetime | None:
    """When a pod that was told to end counts as lost with its node."""
    pod = seen.pod
    if pod is None or pod.ended or pod.deleting is None or nodes_ready.get(pod.node or "", False):
        return None
    return pod.deleting + ABANDONED_AFTER


def _observe(
    number: int, seen: Seen, nodes_ready: Mapping[str, bool], explanations: Mapping[str, str], now: datetime
) -> Observed:
    known = _known(number, seen)
    job, pod = seen.job, seen.pod
    abandoned = _abandoned_at(seen, nodes_ready)
    if pod is not None and pod.ended:
        return _ended(known, pod)
    if pod is not None and abandoned is not None and now >= abandoned:
        return _abandoned(known, pod, nodes_ready, abandoned)
    if pod is not None:
        stopping = pod.deleting is not None or job is None or job.deleting is not None
        return _living(replace(known, stopping=stopping), pod, explanations)
    assert job is not None  # a number comes from one of the two
    return _podless(known, job, explanations)


def _known(number: int, seen: Seen) -> Observed:
    """What does not depend on how it stands."""
    job, pod = seen.job, seen.pod
    source = job or pod
    assert source is not None
    attempt = Observed(
        number=number,
        job=job.name if job is not None else pod.job if pod is not None else "",
        state=AttemptState.PENDING,
        plans=source.plans,
        task_digest=source.task_digest,
    )
    return replace(attempt, pod=pod.name, node=pod.node, started=pod.started) if pod is not None else attempt


def _podless(known: Observed, job: JobFacts, explanations: Mapping[str, str]) -> Observed:
    """A Job whose pod is not there yet, or not any more."""
    if job.end == "Complete":
        return replace(known, state=AttemptState.ENDED, exit_code=0, finished=job.ended)
    if job.end == "Failed":
        more = "" if job.story.startswith(COUNTED_ONCE) else f"; {job.story}"
        story = f"its pod was removed before its end was seen{more}".removesuffix("; ")
        return replace(
            known,
            state=AttemptState.ENDED,
            verdict=Category.INTERRUPTED,
            story=story,
            finished=job.ended,
        )
    refusal = explanations.get(job.uid)
    waiting = ("PodRefused", refusal) if refusal is not None else None
    return replace(known, waiting=waiting, stopping=job.deleting is not None)


def _living(known: Observed, pod: PodFacts, explanations: Mapping[str, str]) -> Observed:
    if pod.started is not None:
        return replace(known, state=AttemptState.RUNNING)
    mount = explanations.get(pod.uid)
    hangs = pod.waiting is not None and pod.waiting[0] == CREATING and mount is not None
    return replace(known, waiting=("FailedMount", mount) if hangs and mount is not None else pod.waiting)


def _abandoned(known: Observed, pod: PodFacts, nodes_ready: Mapping[str, bool], when: datetime) -> Observed:
    state = "is not ready" if pod.node in nodes_ready else "is gone"
    return replace(
        known,
        state=AttemptState.ENDED,
        verdict=Category.INTERRUPTED,
        story=f"NodeLost: node {pod.node} {state} and its pod did not end in time",
        finished=when,
    )


def _ended(known: Observed, pod: PodFacts) -> Observed:
    verdict, story = judge(pod)
    return replace(
        known,
        state=AttemptState.ENDED,
        exit_code=0 if pod.phase == "Succeeded" else pod.exit_code,
        oom_killed=pod.container_reason == "OOMKilled",
        verdict=verdict,
        story=story,
        result=pod.result,
        finished=pod.finished,
    )


def judge(pod: PodFacts) -> tuple[Category | None, str]:
    """What the platform says about an ended pod, and its words; None where the exit code says it all.

    - It outgrew its own disk limits: that is its plan's or its cache's doing.
    - It outlived `activeDeadlineSeconds`.
    - It was disrupted, evicted, deleted, refused by the kubelet, or lost: not its fault.
    - Its process could not be started: image and node do not go together, and another try changes nothing.
    """
    words = ": ".join(text for text in (pod.reason, pod.message) if text) or pod.disruption
    if pod.reason == "Evicted" and any(text in pod.message for text in OWN_DISK_LIMITS):
        return Category.INSUFFICIENT_DISK_SPACE, words
    if pod.reason == "DeadlineExceeded":
        return Category.DEADLINE_EXCEEDED, words
    if pod.container_reason in START_ERRORS:
        return Category.INTERNAL, f"the container did not start ({pod.container_reason}): {pod.message}"
    if pod.disruption or pod.reason or pod.exit_code is None:
        return Category.INTERRUPTED, words or "its pod failed without a word"
    if pod.told is not None and (pod.finished is None or pod.finished >= pod.told):
        return Category.INTERRUPTED, f"its pod was deleted (exit code {pod.exit_code})"
    return None, ""
