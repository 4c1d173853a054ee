"""Pods without processes, for load: Running, and after a while Succeeded with the Result that the Task wants.

Two writes a pod. What a pod's document holds is dropped as soon as the Result is built.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass

from tests.controlplane.kubelet_api import Client, Document
from tests.controlplane.kubelet_host import unless_gone
from tests.controlplane.kubelet_nodes import Node
from tests.controlplane.kubelet_status import ContainerState, build_patch, now, running, terminated
from wan_operator.cluster.names import TASK_ANNOTATION


@dataclass(frozen=True)
class Simulation:
    """How long an attempt takes."""

    duration_s: float


def is_simulated(pod: Document) -> bool:
    """Only attempts are: they carry a Task."""
    return TASK_ANNOTATION in pod["metadata"].get("annotations", {})


class SimulatedLife:
    """Does what PodLife does, without doing anything."""

    def __init__(self, pod: Document, node: Node, client: Client, simulation: Simulation) -> None:
        self.node, self._client, self._simulation = node, client, simulation
        kept = ("namespace", "name", "uid")
        self.pod: Document = {"metadata": {key: pod["metadata"][key] for key in kept}}
        self._path = "/api/v1/namespaces/{namespace}/pods/{name}".format(**self.pod["metadata"])
        self._message = build_result(pod["metadata"]["annotations"][TASK_ANNOTATION])
        container = pod["spec"]["containers"][0]
        self._state = ContainerState(container["name"], container["image"])
        self._stopped, self._gone = asyncio.Event(), asyncio.Event()
        self._removed = self._deleted = False

    def update(self, pod: Document | None) -> None:
        self._removed = self._removed or pod is None
        self._deleted = self._deleted or (pod is not None and "deletionTimestamp" in pod["metadata"])
        if self.node.awake.is_set():
            self.look()

    def look(self) -> None:
        if self._removed:
            self._gone.set()
        if self._removed or self._deleted:
            self._stopped.set()

    def kill(self) -> None:
        self._stopped.set()

    async def live(self) -> None:
        """Until the pod is gone."""
        started = now()
        self._state.state, self._state.ready, self._state.started = running(started), True, True
        await self._tell("Running", started)
        try:
            async with asyncio.timeout(self._simulation.duration_s):
                await self._stopped.wait()
            code, message, phase = 75, "", "Failed"
        except TimeoutError:
            code, message, phase = 0, self._message, "Succeeded"
        self._message = ""
        self._state.state = terminated(code, started, "", message)
        self._state.ready = self._state.started = False
        await self._tell(phase, started)
        await self._stopped.wait()
        if not self._gone.is_set():
            await self._finish()

    async def _tell(self, phase: str, started: str) -> None:
        if self._gone.is_set():
            return
        await self.node.awake.wait()
        with unless_gone():
            patch = build_patch(self.pod, phase, [self._state], since={}, started=started)
            await self._client.patch(f"{self._path}/status", patch)

    async def _finish(self) -> None:
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.pod["metadata"]["uid"]}}
        await self.node.awake.wait()
        with unless_gone():
            await self._client.delete(self._path, options)
        await self._gone.wait()


def build_result(annotation: str) -> str:
    """The Result of an attempt that went well, as JSON."""
    task = json.loads(annotation)
    canonical = json.dumps(task, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    plan = task["rungs"][0]["plan"]
    request = task["requests"][plan["model"]]
    size = {key: request[key] for key in ("width", "height", "frames", "fps")}
    result = {
        "version": 1,
        "uid": task["uid"],
        "attempt": task["attempt"],
        "taskDigest": hashlib.sha256(canonical.encode()).hexdigest(),
        "plan": f"{plan['model']}/{plan['device']}/{'+'.join(plan['techniques'])}",
        "device": "a simulated device",
        "output": {"uri": f"{task['output']}video.mp4", **size},
    }
    return json.dumps(result)
