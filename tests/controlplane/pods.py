"""Restricted pods for the tests of the kubelet: a small Python program in each."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from tests.controlplane.client import Document
from tests.controlplane.control_plane import ControlPlane
from tests.controlplane.kubelet import Image
from tests.controlplane.process import wait_until

PYTHON = Image((sys.executable, "-c"))
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
MESSAGE = "/dev/termination-log"
WAIT_S = 120.0


class Pods:
    """The pods of one namespace."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane, self.namespace = plane, namespace
        self.path = f"/api/v1/namespaces/{namespace}/pods"

    def create(
        self, name: str, program: str, *args: str, container: Document | None = None, **spec: Any
    ) -> None:
        """A pod that runs a Python program; `container` and `spec` are laid over what is ordinary."""
        ordinary = {
            "name": "main",
            "image": "python",
            "args": [program, *args],
            "securityContext": RESTRICTED,
        }
        pod = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "containers": [ordinary | (container or {})],
        }
        self.plane.api.create(self.path, {"metadata": {"name": name}, "spec": pod | spec})

    def get(self, name: str) -> Document:
        return self.plane.api.get(f"{self.path}/{name}")

    def wait(self, name: str, until: Callable[[Document], Any], timeout_s: float = WAIT_S) -> Document:
        """The pod, as soon as `until` holds."""
        seen: list[Document] = [{}]

        def look() -> bool:
            seen[0] = self.get(name)
            return bool(until(seen[0]))

        try:
            wait_until(look, timeout_s, name)
        except AssertionError as error:
            raise AssertionError(f"{name} has not become so: {seen[0].get('status')}") from error
        return seen[0]

    def wait_running(self, name: str) -> Document:
        return self.wait(name, lambda pod: "running" in state_of(pod))

    def end(self, name: str, timeout_s: float = WAIT_S) -> Document:
        """How its container ended."""
        pod = self.wait(name, lambda pod: pod["status"]["phase"] in ("Succeeded", "Failed"), timeout_s)
        ended: Document = state_of(pod)["terminated"] | {"phase": pod["status"]["phase"]}
        return ended

    def wait_gone(self, name: str) -> None:
        path = f"{self.path}/{name}"
        wait_until(lambda: not self.plane.api.exists(path), WAIT_S, f"{name} is still there")

    def events(self, name: str, reason: str) -> list[Document]:
        selector = f"involvedObject.name={name},reason={reason}"
        return self.plane.api.list(f"/api/v1/namespaces/{self.namespace}/events", fieldSelector=selector)


def state_of(pod: Document) -> Document:
    """The state of its only container."""
    statuses = pod.get("status", {}).get("containerStatuses") or [{"state": {}}]
    state: Document = statuses[0]["state"]
    return state


def waiting_reason(pod: Document) -> str:
    return str(state_of(pod).get("waiting", {}).get("reason", ""))
