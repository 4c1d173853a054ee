"""A Job as the operator makes it, and every way to make it something else."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from tests.wan_operator.worlds import NOW, UID, world_of
from wan_core.plan.inventory import Gpu, Inventory, Node
from wan_operator.cluster import names
from wan_operator.cluster.job import build_job
from wan_operator.cluster.settings import ClusterSettings
from wan_operator.decide import decide
from wan_operator.world import StartAttempt

Document = dict[str, Any]
Spoil = Callable[[Document, Document, Document], object]  # the Job, its pod's spec, the runner

H200 = Gpu(product="NVIDIA-H200", memory_gib=141)
H200_NODE = Inventory(nodes=(Node(name="a", gpus=(H200,), host_memory_gib=512),))
CPU_NODE = Inventory(nodes=(Node(name="a", host_memory_gib=16),))


def good_job(settings: ClusterSettings, namespace: str, **spec: Any) -> Document:
    """What the operator with these settings makes of an ordinary request: the policy must let it through."""
    allowed = {"priority_class_names": settings.runner.priority_class_names}
    world = world_of(**{"inventory": H200_NODE, "settings": allowed, **spec})
    (action,) = decide(world, NOW).actions
    assert isinstance(action, StartAttempt)
    assert world.spec
    metadata = world.metadata.model_copy(update={"namespace": namespace})
    return build_job(metadata, action.task, settings, world.spec)


def spoilt(job: Mapping[str, Any], spoil: Spoil) -> Document:
    """A copy of `job` that `spoil` has had its way with."""
    changed = copy.deepcopy(dict(job))
    pod = changed["spec"]["template"]["spec"]
    spoil(changed, pod, pod["containers"][0])
    return changed


def volume(name: str, **source: object) -> Spoil:
    """The volume of that name, or a further one, is this instead."""
    return lambda job, pod, runner: pod.update(
        volumes=[v for v in pod["volumes"] if v["name"] != name] + [{"name": name, **source}]
    )


def token(**fields: object) -> Spoil:
    given = {"audience": names.audience_of(UID, 1), "path": "token", **fields}
    return volume("report-token", projected={"sources": [{"serviceAccountToken": given}]})


def pod(**fields: object) -> Spoil:
    return lambda job, spec, runner: spec.update(fields)


def runner(**fields: object) -> Spoil:
    return lambda job, spec, container: container.update(fields)


def security(**fields: object) -> Spoil:
    return lambda job, spec, container: container["securityContext"].update(fields)


OTHER = {"name": "other", "image": "other:1"}
SECRET_KEY = {"secretKeyRef": {"name": "db", "key": "password"}}
PROBE = {"httpGet": {"host": "169.254.169.254", "path": "/", "port": 80}}
VOLUME = "the pod has a volume that is not a runner's"
SECURITY = "the runner must be unprivileged, without capabilities, not root"
ENV = "envFrom and env.valueFrom are not allowed"
ACCOUNT = "serviceAccountName must be wan-runner, its token not mounted"
HOST = "hostNetwork, hostPID and hostIPC are not allowed"
ONCE = "the Job must run one pod once"
OWNER = "the Job must be owned by one VideoGeneration"
LABELS = "the pod must carry the labels of a runner"
INIT = "initContainers and ephemeralContainers are not allowed"
ENTRY = "the runner must be started by its image's entry point with `run`"
CONTAINER = "the pod must hold exactly one container, called runner"

SPOILS: dict[str, tuple[Spoil, str]] = {
    "no owner": (lambda job, pod, runner: job["metadata"].pop("ownerReferences"), OWNER),
    "an owner of another kind": (
        lambda job, pod, runner: job["metadata"]["ownerReferences"][0].update(
            kind="Deployment", apiVersion="apps/v1"
        ),
        OWNER,
    ),
    "many pods": (lambda job, pod, runner: job["spec"].update(parallelism=5, completions=5), ONCE),
    "retries": (lambda job, pod, runner: job["spec"].update(backoffLimit=6), ONCE),
    "labels that hide it": (
        lambda job, pod, runner: job["spec"]["template"]["metadata"]["labels"].pop(
            "app.kubernetes.io/component"
        ),
        LABELS,
    ),
    "a second container": (lambda job, pod, runner: pod["containers"].append(OTHER), CONTAINER),
    "another container": (runner(name="main"), CONTAINER),
    "an init container": (pod(initContainers=[OTHER]), INIT),
    "another image": (runner(image="attacker/miner:1"), "the image must be wan-runner:0.1.0"),
    "a command": (runner(command=["sh", "-c", "id"]), ENTRY),
    "another subcommand": (runner(args=["collect"]), ENTRY),
    "no arguments": (lambda job, pod, runner: runner.pop("args"), ENTRY),
    "envFrom": (runner(envFrom=[{"secretRef": {"name": "db"}}]), ENV),
    "env from a secret": (runner(env=[{"name": "A", "valueFrom": SECRET_KEY}]), ENV),
    "another service account": (pod(serviceAccountName="default"), ACCOUNT),
    "no service account": (lambda job, pod, runner: pod.pop("serviceAccountName"), ACCOUNT),
    "a mounted token": (pod(automountServiceAccountToken=True), ACCOUNT),
    "a token mounted by default": (
        lambda job, pod, runner: pod.pop("automountServiceAccountToken"),
        ACCOUNT,
    ),
    "the host's network": (pod(hostNetwork=True), HOST),
    "the host's processes": (pod(hostPID=True), HOST),
    "the host's memory": (pod(hostIPC=True), HOST),
    "privileged": (security(privileged=True, allowPrivilegeEscalation=True), SECURITY),
    "escalation": (security(allowPrivilegeEscalation=True), SECURITY),
    "a capability": (security(capabilities={"drop": ["ALL"], "add": ["NET_ADMIN"]}), SECURITY),
    "default capabilities": (security(capabilities={}), SECURITY),
    "root": (security(runAsNonRoot=False), SECURITY),
    "root by the pod": (pod(securityContext={}), SECURITY),
    "no security context": (lambda job, pod, runner: runner.pop("securityContext"), SECURITY),
    "a priority class": (
        pod(priorityClassName="system-node-critical"),
        "the pod asks for a priority class that is not allowed",
    ),
    "a folder of the host": (volume("scratch", hostPath={"path": "/"}), VOLUME),
    "a further volume": (volume("more", emptyDir={}), VOLUME),
    "another secret": (volume("s3", secret={"secretName": "db"}), VOLUME),
    "a secret in another's place": (volume("scratch", secret={"secretName": "wan-s3"}), VOLUME),
    "another claim": (volume("cache", persistentVolumeClaim={"claimName": "films"}), VOLUME),
    "a token for the API server": (token(audience="https://kubernetes.default.svc"), VOLUME),
    "a token for nobody": (
        volume("report-token", projected={"sources": [{"serviceAccountToken": {"path": "token"}}]}),
        VOLUME,
    ),
    "a token of another's attempt": (token(audience="wan.video/other/1"), VOLUME),
    "a secret beside the token": (
        volume("report-token", projected={"sources": [{"secret": {"name": "db"}}]}),
        VOLUME,
    ),
    "a node": (pod(nodeName="node-1"), "nodeName is set, and runner.podTemplate does not name it"),
    "another runtime": (
        pod(runtimeClassName="host"),
        "runtimeClassName is set, and runner.podTemplate does not name it",
    ),
    "pull secrets": (
        pod(imagePullSecrets=[{"name": "registry"}]),
        "imagePullSecrets is set, and runner.podTemplate does not name it",
    ),
    "a hook": (
        runner(lifecycle={"preStop": PROBE}),
        "lifecycle is set, and runner.podTemplate does not name it",
    ),
    "a probe": (
        runner(readinessProbe=PROBE),
        "readinessProbe is set, and runner.podTemplate does not name it",
    ),
    "a port of the host": (
        runner(ports=[{"containerPort": 80, "hostPort": 80}]),
        "ports is set, and runner.podTemplate does not name it",
    ),
}
