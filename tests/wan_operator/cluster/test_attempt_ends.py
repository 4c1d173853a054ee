"""Every way in which a Job or pod can live and end, and what it counts as. One line, one way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.wan_operator.cluster.documents import RUNNING, job_document, pod_document, terminated
from tests.wan_operator.cluster.observing import READY, SILENT, Document, observe
from tests.wan_operator.worlds import NOW, result_of, world_of
from wan_core.errors import Category
from wan_operator.decide import decide

DRAINED = {
    "DisruptionTarget": {"status": "True", "reason": "EvictionByEvictionAPI", "message": "Eviction API"}
}
LOST = {"DisruptionTarget": {"status": "True", "reason": "DeletionByPodGC", "message": "node not found"}}
EVICTED = {
    "DisruptionTarget": {"status": "True", "reason": "TerminationByKubelet", "message": "low on memory"}
}
LOW_ON_MEMORY = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 60Mi."
LOW_ON_DISK = (
    "The node was low on resource: ephemeral-storage. Container runner was using 9Gi, request is 1Gi."
)
OWN_DISK = 'Usage of EmptyDir volume "cache" exceeds the limit "50Gi". '
OWN_DISK_TOO = "Pod ephemeral local storage usage exceeds the total limit of containers 10Gi. "
OWN_DISK_ALSO = 'Container runner exceeded its local ephemeral storage limit "10Gi". '
NO_BINARY = 'exec: "wan-runner": executable file not found in $PATH'
TOO_LATE = "Pod was active on the node longer than the specified deadline"


@dataclass(frozen=True)
class Case:
    """A sentence, what exists, and what `decide` makes of it: outcome, category, words of the message."""

    says: str
    job: Document | None
    pods: list[Document]
    outcome: str
    category: str | None = None
    words: str = ""
    nodes: dict[str, bool] = field(default_factory=lambda: READY)


def failed(code: int | None = None, **more: Any) -> Document:
    """A pod that failed, with this exit code if its container ran."""
    container = more.pop("container", {})
    state = terminated(code, **container) if code is not None else more.pop("state", None)
    return pod_document(phase="Failed", state=state, **more)


def message_of(category: Category | None) -> dict[str, str]:
    return {"message": result_of(1, category).to_message()}


INTERRUPTED, OOM = "INTERRUPTED", "HOST_OUT_OF_MEMORY"
DONE = pod_document(phase="Succeeded", state=terminated(0, **message_of(None)))

CASES = [
    Case("a pod that succeeded", job_document(), [DONE], "Succeeded"),
    Case("its Job is complete too", job_document(end="Complete"), [DONE], "Succeeded"),
    Case("its Job is gone already", None, [DONE], "Succeeded"),
    Case(
        "a pod that succeeded while it was deleted",
        job_document(),
        [pod_document(phase="Succeeded", state=terminated(0, **message_of(None)), told=9)],
        "Succeeded",
    ),
    Case(
        "the Job is complete and the pod is gone",
        job_document(end="Complete"),
        [],
        "Succeeded",
        None,
        "no digest",
    ),
    Case(
        "CUDA ran out of memory", job_document(), [failed(71)], "Failed", "CUDA_OUT_OF_MEMORY", "exit code 71"
    ),
    Case(
        "and said so",
        job_document(),
        [failed(71, container=message_of(Category.CUDA_OUT_OF_MEMORY))],
        "Failed",
        "CUDA_OUT_OF_MEMORY",
        "it met CUDA_OUT_OF_MEMORY",
    ),
    Case("no access", job_document(), [failed(77)], "Failed", "ACCESS_DENIED"),
    Case("a traceback", job_document(), [failed(1)], "Failed", "INTERNAL"),
    Case("a segmentation fault", job_document(), [failed(139)], "Failed", "INTERNAL"),
    Case(
        "the kernel killed it for its memory",
        job_document(),
        [failed(137, container={"reason": "OOMKilled"})],
        "Failed",
        OOM,
        "killed for its memory",
    ),
    Case("somebody killed it", job_document(), [failed(137)], "Interrupted", INTERRUPTED),
    Case("terminated before it could say why", job_document(), [failed(143)], "Interrupted", INTERRUPTED),
    Case("told to stop, it said so", job_document(), [failed(75)], "Interrupted", INTERRUPTED),
    Case(
        "a drain",
        job_document(),
        [failed(75, conditions=DRAINED, told=9)],
        "Interrupted",
        INTERRUPTED,
        "EvictionByEvictionAPI: Eviction API",
    ),
    Case(
        "whatever the exit code of a drained pod",
        job_document(),
        [failed(1, conditions=DRAINED, told=9)],
        "Interrupted",
        INTERRUPTED,
    ),
    Case(
        "a deleted pod",
        job_document(),
        [failed(1, told=9)],
        "Interrupted",
        INTERRUPTED,
        "its pod was deleted",
    ),
    Case(
        "a pod that had ended before it was deleted",
        job_document(),
        [failed(77, container={"ago": 20}, told=9)],
        "Failed",
        "ACCESS_DENIED",
    ),
    Case(
        "the pod is gone, the Job failed",
        job_document(end="Failed", why="BackoffLimitExceeded"),
        [],
        "Interrupted",
        INTERRUPTED,
        "its pod was removed before its end was seen",
    ),
    Case(
        "evicted from a node short of memory",
        job_document(),
        [failed(137, reason="Evicted", message=LOW_ON_MEMORY, conditions=EVICTED)],
        "Interrupted",
        INTERRUPTED,
        LOW_ON_MEMORY,
    ),
    Case(
        "evicted from a node short of disk",
        job_document(),
        [failed(137, reason="Evicted", message=LOW_ON_DISK, conditions=EVICTED)],
        "Interrupted",
        INTERRUPTED,
        LOW_ON_DISK,
    ),
    *[
        Case(
            f"evicted for its own use of disk: {text}",
            job_document(),
            [failed(137, reason="Evicted", message=text)],
            "Failed",
            "INSUFFICIENT_DISK_SPACE",
            text.strip(),
        )
        for text in (OWN_DISK, OWN_DISK_TOO, OWN_DISK_ALSO)
    ],
    Case(
        "the kubelet's own deadline",
        job_document(),
        [failed(143, reason="DeadlineExceeded", message=TOO_LATE)],
        "Failed",
        "DEADLINE_EXCEEDED",
        TOO_LATE,
    ),
    *[
        Case(
            f"refused by the kubelet: {reason}",
            job_document(),
            [failed(reason=reason, message="says why")],
            "Interrupted",
            INTERRUPTED,
            f"{reason}: says why",
        )
        for reason in (
            "UnexpectedAdmissionError",
            "OutOfcpu",
            "OutOfnvidia.com/gpu",
            "NodeAffinity",
            "Preempting",
            "NodeShutdown",
            "Terminated",
            "NodeLost",
        )
    ],
    Case(
        "collected with its node",
        job_document(),
        [failed(state=RUNNING, conditions=LOST)],
        "Interrupted",
        INTERRUPTED,
        "DeletionByPodGC: node not found",
    ),
    Case(
        "the kubelet lost track of it",
        job_document(),
        [failed(137, container={"reason": "ContainerStatusUnknown"})],
        "Interrupted",
        INTERRUPTED,
    ),
    Case("failed without a word", job_document(), [failed()], "Interrupted", INTERRUPTED, "without a word"),
    *[
        Case(
            f"no process could be started: {reason}",
            job_document(),
            [failed(128, container={"reason": reason, "message": NO_BINARY})],
            "Failed",
            "INTERNAL",
            f"the container did not start ({reason}): {NO_BINARY}",
        )
        for reason in ("StartError", "ContainerCannotRun")
    ],
    Case(
        "terminating on a silent node, a minute beyond its grace",
        job_document(),
        [pod_document(state=RUNNING, told=121, grace=60)],
        "Interrupted",
        INTERRUPTED,
        "NodeLost: node gpu-1 is not ready",
        SILENT,
    ),
    Case(
        "terminating on a node that is gone",
        None,
        [pod_document(state=RUNNING, told=121, grace=60)],
        "Interrupted",
        INTERRUPTED,
        "NodeLost: node gpu-1 is gone",
        {},
    ),
    Case(
        "terminating on a silent node, within a minute",
        job_document(),
        [pod_document(state=RUNNING, told=119, grace=60)],
        "Running",
        nodes=SILENT,
    ),
    Case(
        "terminating for long on a node that answers",
        job_document(),
        [pod_document(state=RUNNING, told=900, grace=60)],
        "Running",
    ),
    Case("running on a silent node", job_document(), [pod_document(state=RUNNING)], "Running", nodes=SILENT),
    Case("running without its Job", None, [pod_document(state=RUNNING)], "Running"),
    Case("a Job without a pod", job_document(), [], "Running"),
    Case(
        "another's Result",
        job_document(),
        [failed(71, container={"message": result_of(1, task_digest="e" * 64).to_message()})],
        "Failed",
        "INTEGRITY_ERROR",
    ),
    Case(
        "a Result that is none",
        job_document(),
        [failed(71, container={"message": "{}"})],
        "Failed",
        "CUDA_OUT_OF_MEMORY",
    ),
    Case(
        "of two pods the living one counts",
        job_document(),
        [failed(1, ago=9), pod_document(state=RUNNING, ago=50)],
        "Running",
    ),
    Case(
        "of two ended ones the later",
        job_document(),
        [failed(77, ago=9), failed(1, ago=50)],
        "Failed",
        "ACCESS_DENIED",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_case(case: Case) -> None:
    attempt, _ = observe(case.job, *case.pods, nodes=case.nodes)
    (told,) = decide(world_of(attempt, settings={"one_shape": True}), NOW).status.attempts
    assert (told.outcome, told.category) == (case.outcome, case.category), told.message
    assert case.words in told.message
    assert attempt.lives == (case.outcome == "Running")
