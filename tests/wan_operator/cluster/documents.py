"""Documents as the API server gives them, for tests: every value that a test does not name is ordinary."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from tests.wan_operator.worlds import DIGEST, NOW, UID
from wan_operator.cluster.settings import ClusterSettings

Document = dict[str, Any]

H200 = {
    "nvidia.com/gpu.product": "NVIDIA-H200",
    "nvidia.com/gpu.memory": "143771",
    "nvidia.com/gpu.count": "8",
    "nvidia.com/gpu.compute.major": "9",
    "nvidia.com/gpu.compute.minor": "0",
    "nvidia.com/gpu.replicas": "1",
    "nvidia.com/gpu.sharing-strategy": "none",
}
RTX4090 = H200 | {
    "nvidia.com/gpu.product": "NVIDIA-GeForce-RTX-4090",
    "nvidia.com/gpu.memory": "24564",
    "nvidia.com/gpu.compute.major": "8",
    "nvidia.com/gpu.compute.minor": "9",
}
V100 = H200 | {
    "nvidia.com/gpu.product": "Tesla-V100-SXM2-32GB",
    "nvidia.com/gpu.memory": "32768",
    "nvidia.com/gpu.compute.major": "7",
}
GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}


def settings_of(**changes: Any) -> ClusterSettings:
    """A cluster's settings; `changes` by camelCase path parts, as {"runner": {...}} merged one level deep."""
    given: dict[str, Any] = {
        "namespaces": ["wan-video"],
        "weights": "s3://weights",
        "output": "s3://videos",
        "runner": {"image": "registry.example/wan-runner:1"},
        "report": {"url": "http://wan-operator.wan-system.svc:8081/v1/progress"},
    }
    for name, value in changes.items():
        known = given.get(name)
        given[name] = {**known, **value} if isinstance(known, dict) else value
    return ClusterSettings.model_validate(given)


def labelled(**labels: str) -> dict[str, str]:
    return H200 | {f"nvidia.com/gpu.{key.replace('_', '.')}": value for key, value in labels.items()}


def without(labels: dict[str, str], *names: str) -> dict[str, str]:
    return {key: value for key, value in labels.items() if key.removeprefix("nvidia.com/gpu.") not in names}


def node_document(
    name: str = "gpu-1",
    labels: Mapping[str, str] = H200,
    *,
    gpus: object = "8",
    memory: object = "1056000Mi",
    cpu: object = "64",
    ready: str = "True",
    **spec: Any,
) -> Document:
    """A Node with GPUs as the device plugin and GPU Feature Discovery show them; `gpus` None for none."""
    allocatable = {"cpu": cpu, "memory": memory, "pods": "110"}
    allocatable |= {} if gpus is None else {"nvidia.com/gpu": gpus}
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}},
        "spec": spec,
        "status": {"allocatable": allocatable, "conditions": [{"type": "Ready", "status": ready}]},
    }


def stamp(ago: timedelta | None = timedelta()) -> str | None:
    """A time so long ago, as the API server writes it."""
    return None if ago is None else (NOW - ago).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def job_document(
    number: int = 1, *, end: str = "", why: str = "", ago: float = 60, deleting: bool = False, **metadata: Any
) -> Document:
    """A Job of ours, so many seconds old."""
    owner = {"apiVersion": "wan.video/v1alpha1", "kind": "VideoGeneration", "name": "corgi", "uid": UID}
    known = {
        "namespace": "wan-video",
        "name": f"corgi-0000-{number}",
        "uid": f"job-uid-{number}",
        "labels": labels_of(number),
        "ownerReferences": [{**owner, "controller": True}],
        "creationTimestamp": stamp(seconds(ago)),
    }
    known |= {"deletionTimestamp": stamp()} if deleting else {}
    conditions = [{"type": end, "status": "True", "reason": why, "lastTransitionTime": stamp(seconds(5))}]
    template = {"metadata": {"annotations": annotations_of()}}
    status = {"conditions": conditions if end else []}
    return {"metadata": known | metadata, "spec": {"template": template}, "status": status}


def labels_of(number: int) -> dict[str, str]:
    return {
        "wan.video/uid": UID,
        "wan.video/attempt": str(number),
        "batch.kubernetes.io/job-name": f"corgi-0000-{number}",
    }


def annotations_of() -> dict[str, str]:
    return {"wan.video/task-digest": DIGEST, "wan.video/plans": "m/cuda/bf16+resident m/cuda/bf16+offload"}


def pod_document(
    number: int = 1,
    *,
    phase: str = "Running",
    node: str | None = "gpu-1",
    state: Mapping[str, Any] | None = None,
    conditions: Mapping[str, Mapping[str, str]] | None = None,
    told: float | None = None,
    grace: int = 60,
    ago: float = 50,
    reason: str = "",
    message: str = "",
) -> Document:
    """A pod of ours. `state` is its container's, `told` how many seconds ago it was deleted."""
    metadata: Document = {
        "namespace": "wan-video",
        "name": f"corgi-0000-{number}-abcde",
        "uid": f"pod-uid-{number}",
        "labels": labels_of(number),
        "annotations": annotations_of(),
        "creationTimestamp": stamp(seconds(ago)),
    }
    if told is not None:
        metadata |= {"deletionTimestamp": stamp(seconds(told - grace)), "deletionGracePeriodSeconds": grace}
    status: Document = {"phase": phase, "reason": reason, "message": message}
    status["conditions"] = [{"type": kind, **facts} for kind, facts in (conditions or {}).items()]
    if state is not None:
        status["containerStatuses"] = [{"name": "runner", "state": state}]
    return {"metadata": metadata, "spec": {"nodeName": node, "containers": []}, "status": status}


def terminated(code: int, *, ago: float = 2, ran: float = 40, **more: Any) -> Document:
    """A container's state after its end."""
    over = {"startedAt": stamp(seconds(ago + ran)), "finishedAt": stamp(seconds(ago)), "exitCode": code}
    return {"terminated": over | more}


RUNNING: Document = {"running": {"startedAt": stamp(seconds(40))}}


def creating(reason: str = "ContainerCreating", message: str = "") -> Document:
    """A container's state before its start."""
    return {"waiting": {"reason": reason, "message": message}}


def at(ago: float) -> datetime:
    return NOW - seconds(ago)
