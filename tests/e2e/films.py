"""What a test does with VideoGenerations in its namespace: apply, look, wait, delete."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from tests.controlplane.client import MERGE, ApiError, Document
from tests.e2e.bed import Bed, wait_until
from tests.e2e.witness import FINISHED, Witness

TINY = {"model": "wan-tiny", "prompt": "a red circle moving right"}
BIG = {"model": "ti2v-5B", "prompt": "a corgi surfing at sunset"}


def script(*attempts: dict[str, Any]) -> str:
    """A prompt that tells the scripted container how each attempt goes."""
    return json.dumps({"attempts": attempts})


class Films:
    """The VideoGenerations of one served namespace."""

    def __init__(self, bed: Bed, witness: Witness, namespace: str) -> None:
        self.bed, self.witness, self.namespace = bed, witness, namespace
        self.path = f"/apis/wan.video/v1alpha1/namespaces/{namespace}/videogenerations"

    def apply(self, name: str, **spec: Any) -> Document:
        """Create it, as kubectl apply does, with strict field validation."""
        document = {
            "apiVersion": "wan.video/v1alpha1",
            "kind": "VideoGeneration",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        }
        return self.bed.api.create(self.path, document, fieldValidation="Strict")

    def edit(self, name: str, **spec: Any) -> Document:
        """Change fields of its spec."""
        return self.bed.api.patch(f"{self.path}/{name}", {"spec": spec}, MERGE)

    def get(self, name: str) -> Document:
        return self.bed.api.get(f"{self.path}/{name}")

    def status(self, name: str) -> Document:
        status: Document = self.get(name).get("status", {})
        return status

    def delete(self, name: str) -> None:
        self.bed.api.delete(f"{self.path}/{name}")

    def wait(
        self, name: str, until: Callable[[Document], bool], timeout_s: float = 180, what: str = "it"
    ) -> Document:
        """The first status for which `until` holds."""

        def ask() -> Document | None:
            status = self.status(name)
            return status if status and until(status) else None

        answer = wait_until(ask, timeout_s, lambda: f"{what} of {name}; last {self.told(name)}")
        assert answer is not None
        return answer

    def wait_phase(self, name: str, *phases: str, timeout_s: float = 180) -> Document:
        return self.wait(name, lambda s: s.get("phase") in phases, timeout_s, f"phase {'/'.join(phases)}")

    def wait_reason(self, name: str, reason: str, timeout_s: float = 180) -> Document:
        return self.wait(name, lambda s: s.get("reason") == reason, timeout_s, f"reason {reason}")

    def wait_end(self, name: str, phase: str, timeout_s: float = 300) -> Document:
        """Its status once finished; fails if it ends otherwise."""
        status = self.wait_phase(name, *FINISHED, timeout_s=timeout_s)
        assert status["phase"] == phase, f"{name} ended {status['phase']}: {self.told(name)}"
        return status

    def told(self, name: str) -> str:
        """What a person would look at: the status in short, and the operator's last lines."""
        try:
            status = self.status(name)
        except ApiError as refusal:
            return str(refusal)
        short = {k: status.get(k) for k in ("phase", "reason", "message", "attempts", "interruptions")}
        return f"{json.dumps(short, indent=1)}\n{self.bed.operator_log()[-2500:]}"

    def forbid(self, resource: str, name: str) -> str:
        """A quota of that name that allows none of it here; its path. Until it is counted, what is asked for
        is refused in other words.
        """
        path = f"/api/v1/namespaces/{self.namespace}/resourcequotas"
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}}
        self.bed.api.create(path, {**quota, "spec": {"hard": {resource: "0"}}})

        def is_counted() -> bool:
            status = self.bed.api.get(f"{path}/{name}").get("status", {})
            return resource in status.get("used", {})

        wait_until(is_counted, 120, lambda: f"quota {name} is not counted")
        return f"{path}/{name}"

    def jobs(self) -> list[Document]:
        return self.bed.api.list(f"/apis/batch/v1/namespaces/{self.namespace}/jobs")

    def pods(self) -> list[Document]:
        return self.bed.api.list(f"/api/v1/namespaces/{self.namespace}/pods")

    def wait_running_pod(self, timeout_s: float = 180) -> Document:
        """The one pod that runs here."""

        def ask() -> Document | None:
            running = [p for p in self.pods() if p.get("status", {}).get("phase") == "Running"]
            return running[0] if running else None

        pod = wait_until(
            ask, timeout_s, lambda: f"no pod runs in {self.namespace}: {self.bed.operator_log()[-2500:]}"
        )
        assert pod is not None
        return pod

    def keys(self, name: str = "") -> list[str]:
        """The objects in the output bucket of this namespace, or of one living resource."""
        uid = self.get(name)["metadata"]["uid"] + "/" if name else ""
        return self.bed.s3.keys("videos", f"{self.namespace}/{uid}")

    def outcomes(self, name: str) -> Sequence[tuple[int, str, str | None]]:
        """Number, outcome and category of each attempt."""
        return [(a["number"], a["outcome"], a.get("category")) for a in self.status(name).get("attempts", [])]
