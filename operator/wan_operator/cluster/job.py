"""The Job of one attempt, as a document. Pure.

The administrator's pod template comes first and what is pinned here is laid over it: whatever the template
says, image, arguments, service account, security and requests are these. The chart's admission policy holds
the operator to the same shape.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import product
from math import ceil
from posixpath import dirname
from typing import Any

from wan_core.api.durations import read_duration
from wan_core.api.spec import API_VERSION, KIND, Spec
from wan_core.api.status import Metadata
from wan_core.plan.host import SCRATCH_BYTES
from wan_core.task import TASK_MAX_BYTES, Task
from wan_operator.cluster.affinity import preferred_terms, required_terms
from wan_operator.cluster.names import (
    ATTEMPT_LABEL,
    CACHE_FOLDER,
    CONTAINER,
    DIGEST_ANNOTATION,
    NAME_LABEL,
    PART_LABELS,
    PLANS_ANNOTATION,
    RESULT_FILE,
    SCRATCH_FOLDER,
    SETTINGS_ANNOTATION,
    TASK_ANNOTATION,
    TASK_FILE,
    TOKEN_FILE,
    UID_LABEL,
    audience_of,
)
from wan_operator.cluster.nodes import gpu_toleration, required_by
from wan_operator.cluster.outdated import digest_settings
from wan_operator.cluster.quantity import read_quantity
from wan_operator.cluster.s3_access import build_s3_env, build_s3_mounts, build_s3_volumes
from wan_operator.cluster.settings import CacheSettings, ClusterSettings
from wan_operator.jobs import NAME_LIMIT, job_name

Document = dict[str, Any]

TOKEN_LIFE_S = 3600  # the kubelet renews it in time
DEADLINE_SLACK_S = 120  # the operator enforces deadlines.run; the kubelet does if there is no operator


def build_job(metadata: Metadata, task: Task, settings: ClusterSettings, spec: Spec) -> Document:
    """The Job that runs `task` for the resource `metadata`."""
    template = build_template(metadata, task, settings, spec)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(metadata, task.attempt),
            "namespace": metadata.namespace,
            "labels": build_labels(metadata, task),
            "annotations": {SETTINGS_ANNOTATION: digest_settings(settings)},
            "ownerReferences": [_owner(metadata)],
        },
        "spec": {
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "completions": 1,
            "parallelism": 1,
            "template": template,
        },
    }


def build_template(metadata: Metadata, task: Task, settings: ClusterSettings, spec: Spec) -> Document:
    """The pod template: the administrator's, with ours over it."""
    given = deepcopy(settings.runner.pod_template)
    known = given.get("metadata") or {}
    text = json.dumps(task.to_dict(), ensure_ascii=False)
    assert len(text.encode()) <= TASK_MAX_BYTES  # `planning` has refused it
    ours = {
        TASK_ANNOTATION: text,
        DIGEST_ANNOTATION: task.digest(),
        PLANS_ANNOTATION: " ".join(rung.plan.label for rung in task.rungs),
    }
    return {
        "metadata": {
            "labels": {**(known.get("labels") or {}), **build_labels(metadata, task)},
            "annotations": {**(known.get("annotations") or {}), **ours},
        },
        "spec": build_pod(given.get("spec") or {}, task, settings, spec),
    }


def build_labels(metadata: Metadata, task: Task) -> dict[str, str]:
    """What Job and pod are found by."""
    name = metadata.name[:NAME_LIMIT].rstrip("-.")
    return {UID_LABEL: metadata.uid, NAME_LABEL: name, ATTEMPT_LABEL: str(task.attempt), **PART_LABELS}


def build_pod(given: Document, task: Task, settings: ClusterSettings, spec: Spec) -> Document:
    """The pod's spec: `given`, with what we pin laid over it. There is one container."""
    runner = settings.runner
    ours: Document = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "serviceAccountName": runner.service_account_name,
        "terminationGracePeriodSeconds": runner.grace_period_s,
        "securityContext": {
            **(given.get("securityContext") or {}),
            **build_identity(settings),
            "fsGroup": runner.run_as_user,
            "fsGroupChangePolicy": "OnRootMismatch",
        },
        "containers": [build_container(_named(given.get("containers"), CONTAINER), task, settings)],
        "volumes": _laid_over(given.get("volumes"), build_volumes(task, settings), "name"),
    }
    if spec.scheduling.priority_class_name is not None:
        ours["priorityClassName"] = spec.scheduling.priority_class_name
    run = read_duration(spec.deadlines.run)
    if run is not None:
        ours["activeDeadlineSeconds"] = ceil(run.total_seconds()) + DEADLINE_SLACK_S
    if uses_gpu(task):
        tolerations = given.get("tolerations") or []
        ours["tolerations"] = [*tolerations, gpu_toleration(settings.inventory)]
    if affinity := build_affinity(given, task, settings):
        ours["affinity"] = affinity
    kept = {key: value for key, value in given.items() if key not in NOT_TAKEN}
    return {**kept, **ours}


# Of a pod template: the runner is alone in its pod, and the pod in its namespaces.
NOT_TAKEN = ("initContainers", "ephemeralContainers", "hostNetwork", "hostPID", "hostIPC", "nodeName")


def build_container(given: Document, task: Task, settings: ClusterSettings) -> Document:
    """The runner's container: the image's entry point is `wan-runner`."""
    ours: Document = {
        "name": CONTAINER,
        "image": settings.runner.image,
        "imagePullPolicy": settings.runner.image_pull_policy,
        "args": [
            "run",
            *("--task", TASK_FILE),
            *("--result", RESULT_FILE),
            *("--report-token-file", TOKEN_FILE),
            *("--cache", CACHE_FOLDER),
        ],
        "env": _laid_over(given.get("env"), build_env(settings), "name"),
        "securityContext": {
            **(given.get("securityContext") or {}),
            **build_identity(settings),
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "resources": build_resources(given.get("resources") or {}, task, settings),
        "terminationMessagePath": RESULT_FILE,
        "terminationMessagePolicy": "File",
        "volumeMounts": _laid_over(given.get("volumeMounts"), build_mounts(settings), "mountPath"),
    }
    kept = {key: value for key, value in given.items() if key not in ("command", "workingDir", "envFrom")}
    return {**kept, **ours}


def build_identity(settings: ClusterSettings) -> Document:
    """Who the process is. The container's word would win over the pod's, so both say it."""
    user = settings.runner.run_as_user
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def build_env(settings: ClusterSettings) -> list[Document]:
    """Where S3 is and how it lets us in; and where the process may write."""
    values = {**build_s3_env(settings.s3), "HOME": SCRATCH_FOLDER, "TMPDIR": SCRATCH_FOLDER}
    if settings.cache.size_limit is not None:
        values["WAN_CACHE_MAX_BYTES"] = str(cache_bytes(settings.cache))
    return [{"name": name, "value": value} for name, value in values.items()]


def build_resources(given: Document, task: Task, settings: ClusterSettings) -> Document:
    """Requests are the maximum over the rungs; memory beyond its request would only be lent."""
    memory = f"{host_mib(task, settings)}Mi"
    requests: Document = {"cpu": settings.runner.cpu, "memory": memory}
    limits: Document = {"memory": memory}
    if uses_gpu(task):
        requests[settings.inventory.gpu_resource] = limits[settings.inventory.gpu_resource] = "1"
    disk = {"ephemeral-storage": f"{disk_mib(task, settings)}Mi"}
    return {
        **given,
        "requests": {**disk, **(given.get("requests") or {}), **requests},
        "limits": {**(given.get("limits") or {}), **limits},
    }


def build_mounts(settings: ClusterSettings) -> list[Document]:
    """Where the volumes lie in the container."""
    return [
        {"name": "task", "mountPath": dirname(TASK_FILE), "readOnly": True},
        {"name": "report-token", "mountPath": dirname(TOKEN_FILE), "readOnly": True},
        *build_s3_mounts(settings.s3),
        {"name": "cache", "mountPath": CACHE_FOLDER},
        {"name": "scratch", "mountPath": SCRATCH_FOLDER},
    ]


def build_volumes(task: Task, settings: ClusterSettings) -> list[Document]:
    """The Task by the downward API, the report token, what S3 needs, cache and scratch."""
    annotation = {"fieldPath": f"metadata.annotations['{TASK_ANNOTATION}']"}
    token = {
        "path": TOKEN_FILE.removeprefix(f"{dirname(TOKEN_FILE)}/"),
        "audience": audience_of(task.uid, task.attempt),
        "expirationSeconds": TOKEN_LIFE_S,
    }
    files = [{"path": TASK_FILE.removeprefix(f"{dirname(TASK_FILE)}/"), "fieldRef": annotation}]
    return [
        {"name": "task", "downwardAPI": {"items": files}},
        {"name": "report-token", "projected": {"sources": [{"serviceAccountToken": token}]}},
        *build_s3_volumes(settings.s3),
        {"name": "cache", **_cache_source(settings)},
        {"name": "scratch", "emptyDir": {}},
    ]


def build_affinity(given: Document, task: Task, settings: ClusterSettings) -> Document:
    """The administrator's affinity and ours: required terms are joined each with each, for they are OR-ed."""
    affinity: Document = dict(given.get("affinity") or {})
    node: Document = dict(affinity.get("nodeAffinity") or {})
    ours = required_terms(task, settings.inventory) if uses_gpu(task) else []
    if ours:
        theirs = required_by(given) or [{}]
        joined = [_both(a, b) for a, b in product(theirs, ours)]
        node["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": joined}
    if weights := _preferred(task, settings):
        known = node.get("preferredDuringSchedulingIgnoredDuringExecution") or []
        node["preferredDuringSchedulingIgnoredDuringExecution"] = [*known, *weights]
    return {**affinity, "nodeAffinity": node} if node else affinity


def uses_gpu(task: Task) -> bool:
    """Whether the attempt's pod has a GPU: all of its rungs agree on that."""
    return task.rungs[0].plan.device == "cuda"


def host_mib(task: Task, settings: ClusterSettings) -> int:
    """Host memory of the pod."""
    most = max(rung.memory.host_gib for rung in task.rungs)
    return ceil((most + settings.runner.host_overhead_gib) * 1024)


def disk_mib(task: Task, settings: ClusterSettings) -> int:
    """The node's disk that the pod takes: the weights too, if they end with it."""
    if settings.cache.type == "claim":
        return SCRATCH_BYTES // 2**20
    return ceil(max(rung.memory.disk_gib for rung in task.rungs) * 1024)


def _preferred(task: Task, settings: ClusterSettings) -> list[Document]:
    """The best GPU first; without one, the nodes that have none."""
    if uses_gpu(task):
        return preferred_terms(task, settings.inventory)
    labels = settings.inventory.labels
    absent = [
        {"key": key, "operator": "DoesNotExist"} for key in (labels.product or labels.memory_mib,) if key
    ]
    return [{"weight": 100, "preference": {"matchExpressions": absent}}] if absent else []


def _both(one: Mapping[str, Any], other: Mapping[str, Any]) -> Document:
    """The term that selects what both select."""
    keys = dict.fromkeys((*one, *other))
    return {key: [*(one.get(key) or []), *(other.get(key) or [])] for key in keys}


def _owner(metadata: Metadata) -> Document:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": metadata.name,
        "uid": metadata.uid,
        "controller": True,
    }


def cache_bytes(cache: CacheSettings) -> int:
    """What the weights may take. A sixteenth of an emptyDir is left to what else lies there: one that is
    larger than its limit ends the pod.
    """
    most = read_quantity(cache.size_limit) or 0
    return most if cache.type == "claim" else most - most // 16


def _cache_source(settings: ClusterSettings) -> Document:
    cache = settings.cache
    if cache.type == "claim":
        return {"persistentVolumeClaim": {"claimName": cache.claim_name}}
    return {"emptyDir": {"sizeLimit": cache.size_limit} if cache.size_limit is not None else {}}


def _named(entries: Sequence[Document] | None, name: str) -> Document:
    return next((entry for entry in entries or () if entry.get("name") == name), {})


def _laid_over(given: Sequence[Document] | None, ours: Sequence[Document], key: str) -> list[Document]:
    """The given entries but those that ours take the place of, then ours."""
    taken = {entry[key] for entry in ours}
    return [*(entry for entry in given or () if entry.get(key) not in taken), *ours]
