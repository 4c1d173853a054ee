"""Jobs and pods as compact facts: what is read off their documents, once, when they arrive. Pure."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import ValidationError

from wan_core.api.spec import GROUP, KIND
from wan_core.task import RESULT_MAX_BYTES, Result
from wan_operator.cluster.names import (
    ATTEMPT_LABEL,
    CONTAINER,
    DIGEST_ANNOTATION,
    JOB_LABEL,
    NAME_LABEL,
    PART_LABELS,
    PLANS_ANNOTATION,
    SETTINGS_ANNOTATION,
    UID_LABEL,
)
from wan_operator.cluster.quantity import read_quantity

Document = Mapping[str, Any]
JobEnd = Literal["", "Complete", "Failed"]

# The container runtime's words for a container whose process never began.
START_ERRORS = ("StartError", "ContainerCannotRun")
ATTEMPT_DIGITS = 5  # AttemptStatus.number


@dataclass(frozen=True, slots=True)
class JobFacts:
    """One Job of ours. `owner_uid` is its VideoGeneration's, empty for an orphan, which nobody owns any more;
    `end` is empty while it is active.

    `plans` are the labels of the rungs that its Task carries, `story` what a Failed condition says,
    `settings` the digest of those by which it was made.
    """

    namespace: str
    name: str
    uid: str
    owner_uid: str
    owner_name: str
    attempt: int
    plans: tuple[str, ...]
    task_digest: str
    created: datetime
    deleting: datetime | None = None
    end: JobEnd = ""
    ended: datetime | None = None
    story: str = ""
    settings: str = ""


@dataclass(frozen=True, slots=True)
class PodFacts:
    """One pod: a runner of ours (`owner_uid` is its VideoGeneration's), or another that takes room.

    Requests are of GPUs, bytes and millicores. `told` is when it was told to end, `deleting` when its grace
    is over. `reason` and `message` are the pod's, `container_reason` that of its container's end,
    `disruption` what the condition DisruptionTarget says.
    """

    namespace: str
    name: str
    uid: str
    owner_uid: str = ""
    job: str = ""
    attempt: int = 0
    plans: tuple[str, ...] = ()
    task_digest: str = ""
    node: str | None = None
    phase: str = "Pending"
    gpus: int = 0
    memory: int = 0
    cpu: int = 0
    created: datetime | None = None
    told: datetime | None = None
    deleting: datetime | None = None
    started: datetime | None = None
    finished: datetime | None = None
    exit_code: int | None = None
    container_reason: str = ""
    reason: str = ""
    message: str = ""
    disruption: str = ""
    waiting: tuple[str, str] | None = None
    result: Result | None = None

    @property
    def ended(self) -> bool:
        return self.phase in ("Succeeded", "Failed")


def read_job(document: Document) -> JobFacts | None:
    """The Job, if it is an attempt of a VideoGeneration or was one before it was orphaned; else None."""
    metadata, status = document.get("metadata", {}), document.get("status", {})
    owner = _owner(metadata) or _former_owner(metadata)
    attempt = _attempt(metadata)
    if owner is None or not attempt:
        return None
    template = document.get("spec", {}).get("template", {}).get("metadata", {})
    plans, digest = _task_of(template)
    true = {c.get("type"): c for c in status.get("conditions", ()) if c.get("status") == "True"}
    end: JobEnd = "Complete" if "Complete" in true else "Failed" if "Failed" in true else ""
    condition = true.get(end, {})
    return JobFacts(
        namespace=sys.intern(metadata.get("namespace", "")),
        name=metadata.get("name", ""),
        uid=metadata.get("uid", ""),
        owner_uid=owner.get("uid", ""),
        owner_name=owner.get("name", ""),
        attempt=attempt,
        plans=plans,
        task_digest=digest,
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        deleting=read_time(metadata.get("deletionTimestamp")),
        end=end,
        ended=read_time(status.get("completionTime") or condition.get("lastTransitionTime")),
        story=_words(condition) if end == "Failed" else "",
        settings=sys.intern((metadata.get("annotations") or {}).get(SETTINGS_ANNOTATION, "")),
    )


def read_pod(document: Document, gpu_resource: str = "nvidia.com/gpu") -> PodFacts:
    """The pod, whosever it is."""
    metadata, spec = document.get("metadata", {}), document.get("spec", {})
    status = document.get("status", {})
    node = spec.get("nodeName")
    requests = _requests(spec)
    return PodFacts(
        namespace=sys.intern(metadata.get("namespace", "")),
        name=metadata.get("name", ""),
        uid=metadata.get("uid", ""),
        node=sys.intern(node) if node else None,
        phase=sys.intern(status.get("phase", "Pending")),
        gpus=requests.get(gpu_resource, 0),
        memory=requests.get("memory", 0),
        cpu=requests.get("cpu", 0),
        **_runner_facts(metadata, status),
    )


def read_time(text: str | None) -> datetime | None:
    """A time as the API server writes it."""
    return datetime.fromisoformat(text) if text else None


def read_result(text: str | None) -> Result | None:
    """The Result in a termination message; None if there is none that can be read. Whoever wrote it is not
    trusted.
    """
    if not text or len(text.encode(errors="replace")) > RESULT_MAX_BYTES:
        return None
    try:
        return Result.model_validate_json(text, by_alias=True, by_name=False)
    except ValidationError:
        return None


def _runner_facts(metadata: Document, status: Document) -> dict[str, Any]:
    """What only matters of a runner of ours; nothing for any other pod."""
    attempt = _attempt(metadata)
    if not attempt:
        return {}
    labels = metadata.get("labels") or {}
    state = _state(status)
    over = state.get("terminated") or {}
    plans, digest = _task_of(metadata)
    start_failed = over.get("reason") in START_ERRORS
    deleting = read_time(metadata.get("deletionTimestamp"))
    grace = timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)
    told = deleting - grace if deleting is not None else None
    return {
        "owner_uid": labels.get(UID_LABEL, ""),
        "job": labels.get(JOB_LABEL, ""),
        "attempt": attempt,
        "plans": plans,
        "task_digest": digest,
        "created": read_time(metadata.get("creationTimestamp")),
        "told": told,
        "deleting": deleting,
        "started": None if start_failed else read_time((state.get("running") or over).get("startedAt")),
        "finished": read_time(over.get("finishedAt")),
        "exit_code": over.get("exitCode"),
        "container_reason": over.get("reason", ""),
        "reason": status.get("reason", ""),
        "message": status.get("message", "") or (over.get("message", "") if start_failed else ""),
        "disruption": _words(_condition(status, "DisruptionTarget", "True")),
        "waiting": _waiting(status, state),
        "result": read_result(over.get("message")),
    }


def _waiting(status: Document, state: Document) -> tuple[str, str] | None:
    """Why the container does not run yet, in the words of the kubelet or else of the scheduler."""
    if "waiting" in state:
        waiting = state["waiting"]
        return waiting.get("reason") or "ContainerCreating", waiting.get("message", "")
    unscheduled = _condition(status, "PodScheduled", "False")
    if state or not unscheduled:
        return None
    return unscheduled.get("reason") or "Unschedulable", unscheduled.get("message", "")


def _state(status: Document) -> Document:
    statuses = status.get("containerStatuses") or ()
    return next((c.get("state") or {} for c in statuses if c.get("name") == CONTAINER), {})


def _condition(status: Document, kind: str, value: str) -> Document:
    conditions = status.get("conditions") or ()
    return next((c for c in conditions if c.get("type") == kind and c.get("status") == value), {})


def _words(condition: Document) -> str:
    return ": ".join(text for text in (condition.get("reason"), condition.get("message")) if text)


def _owner(metadata: Document) -> Document | None:
    owners = metadata.get("ownerReferences") or ()
    ours = (o for o in owners if o.get("kind") == KIND and o.get("apiVersion", "").startswith(f"{GROUP}/"))
    return next((o for o in ours if o.get("controller")), None)


def _former_owner(metadata: Document) -> Document | None:
    """Of a Job with all our labels and no owner at all: only its name is left, as far as a label holds it."""
    labels = metadata.get("labels") or {}
    if metadata.get("ownerReferences") or not labels.items() >= PART_LABELS.items():
        return None
    return {"name": labels.get(NAME_LABEL, "")}


def _attempt(metadata: Document) -> int:
    """The attempt's number; 0 for what is no attempt of ours."""
    labels = metadata.get("labels") or {}
    text = labels.get(ATTEMPT_LABEL, "") if labels.get(UID_LABEL) else ""
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= ATTEMPT_DIGITS else 0


def _task_of(metadata: Document) -> tuple[tuple[str, ...], str]:
    """The labels of the Task's rungs, and its digest."""
    annotations = metadata.get("annotations") or {}
    plans = annotations.get(PLANS_ANNOTATION, "").split()
    return tuple(sys.intern(plan) for plan in plans), annotations.get(DIGEST_ANNOTATION, "")


def _requests(spec: Document) -> dict[str, int]:
    """What the pod asks the scheduler for; CPU in millicores. Sidecars count with the containers."""
    pod_level = _read_requests(spec)
    first = spec.get("initContainers") or ()
    sidecars = [c for c in first if c.get("restartPolicy") == "Always"]
    together = Counter[str]()
    for container in (*(spec.get("containers") or ()), *sidecars):
        together.update(_read_requests(container))
    for container in first:
        together |= Counter(_read_requests(container))
    together.update(_read_quantities(spec.get("overhead")))
    return {**together, **pod_level}


def _read_requests(container: Document) -> dict[str, int]:
    resources = container.get("resources") or {}
    return _read_quantities(resources.get("limits")) | _read_quantities(resources.get("requests"))


def _read_quantities(texts: Mapping[str, object] | None) -> dict[str, int]:
    found = {name: read_quantity(q, 1000 if name == "cpu" else 1) for name, q in (texts or {}).items()}
    return {name: amount for name, amount in found.items() if amount is not None}
