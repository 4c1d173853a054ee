"""A pod's status as a kubelet writes it. Pure: documents in, documents out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.controlplane.kubelet_api import Document
from tests.controlplane.kubelet_nodes import ADDRESS

MESSAGE_MAX_BYTES = 4096
ENDED = ("Succeeded", "Failed")


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class ContainerState:
    """What is known of one container; `state` and `last` are ContainerState documents of core/v1."""

    name: str
    image: str
    state: Document = field(default_factory=lambda: waiting("ContainerCreating"))
    last: Document = field(default_factory=dict)
    id: str = ""
    restarts: int = 0
    ready: bool = False
    started: bool = False

    @property
    def kind(self) -> str:
        return next(iter(self.state))

    @property
    def exit_code(self) -> int | None:
        return self.state["terminated"]["exitCode"] if self.kind == "terminated" else None


def waiting(reason: str, message: str = "") -> Document:
    return {"waiting": {"reason": reason} | ({"message": message} if message else {})}


def running(started: str) -> Document:
    return {"running": {"startedAt": started}}


def terminated(
    code: int, started: str, identity: str, message: str = "", reason: str | None = None
) -> Document:
    """How a container ended: Completed or Error unless a better reason is known."""
    body = {
        "exitCode": code,
        "reason": reason or ("Error" if code else "Completed"),
        "startedAt": started,
        "finishedAt": now(),
    }
    if identity:
        body["containerID"] = identity
    return {"terminated": body | ({"message": message} if message else {})}


def cut_message(data: bytes) -> str:
    """A termination message: its last 4,096 bytes, as containerd's kubelet keeps them."""
    return data[-MESSAGE_MAX_BYTES:].decode(errors="replace")


def lost() -> Document:
    """What a kubelet says of a container that never started in a pod that had to go."""
    return terminated(
        137,
        "1970-01-01T00:00:00Z",
        "",
        "The container could not be located when the pod was terminated",
        "ContainerStatusUnknown",
    )


def phase_of(containers: Sequence[ContainerState], initialized: bool, policy: str) -> str:
    """The phase that follows from the main containers' states."""
    if not initialized or any(c.kind == "waiting" and not c.last for c in containers):
        return "Pending"
    if any(c.kind != "terminated" for c in containers) or policy == "Always":
        return "Running"
    failed = any(c.exit_code for c in containers)
    if failed and policy == "OnFailure":
        return "Running"
    return "Failed" if failed else "Succeeded"


def build_patch(
    pod: Document,
    phase: str,
    containers: Sequence[ContainerState],
    init: Sequence[ContainerState] = (),
    *,
    since: Mapping[str, tuple[str, str]],
    started: str,
    reason: tuple[str, str] | None = None,
) -> Document:
    """The strategic-merge patch of /status. `since`: condition -> (status, since when), as told last."""
    initialized = all(c.exit_code == 0 for c in init)
    ready = phase == "Running" and all(c.ready for c in containers)
    sandbox = phase not in ENDED and any(c.kind != "waiting" or c.last for c in (*containers, *init))
    truths = {
        "PodReadyToStartContainers": sandbox,
        "Initialized": initialized,
        "Ready": ready,
        "ContainersReady": ready,
    }
    status: Document = {
        "phase": phase,
        "conditions": [_condition(name, true, phase, since, containers) for name, true in truths.items()],
        "containerStatuses": [_container(c) for c in containers],
        "hostIP": ADDRESS,
        "hostIPs": [{"ip": ADDRESS}],
        "startTime": started,
    }
    if init:
        status["initContainerStatuses"] = [_container(c) for c in init]
    if sandbox or phase in ENDED:
        status |= {"podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}]}
    if reason is not None:
        status |= {"reason": reason[0], "message": reason[1]}
    return {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}


def _condition(
    name: str,
    true: bool,
    phase: str,
    since: Mapping[str, tuple[str, str]],
    containers: Sequence[ContainerState],
) -> Document:
    word = str(true)
    when = since[name][1] if name in since and since[name][0] == word else now()
    condition: Document = {"type": name, "status": word, "lastTransitionTime": when}
    reason, message = None, None
    if not true and name in ("Ready", "ContainersReady"):
        unready = [c.name for c in containers if not c.ready]
        reason = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase, "ContainersNotReady")
        message = f"containers with unready status: [{' '.join(unready)}]" if phase not in ENDED else None
    return condition | {"reason": reason, "message": message}


def _container(state: ContainerState) -> Document:
    empty = dict.fromkeys(("waiting", "running", "terminated"))
    document: Document = {
        "name": state.name,
        "image": state.image,
        "imageID": "",
        "state": empty | state.state,
        "lastState": state.last,
        "ready": state.ready,
        "started": state.started,
        "restartCount": state.restarts,
    }
    return document | ({"containerID": state.id} if state.id else {})
