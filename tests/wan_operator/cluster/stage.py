"""A reconciler before a small API server, with the documents that it meets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.wan_operator.cluster.api_server import (
    JOBS,
    NODES,
    PODS,
    VIDEOS,
    ApiServer,
    api_server,
    client_of,
)
from wan_core.task import Result
from wan_operator.cluster.api import Api
from wan_operator.cluster.health import Liveness
from wan_operator.cluster.metrics import Metrics
from wan_operator.cluster.names import JOB_LABEL
from wan_operator.cluster.reconcile import Looked
from wan_operator.cluster.runtime import Parts, assemble
from wan_operator.cluster.settings import ClusterSettings
from wan_operator.cluster.watches import list_all

KEY = ("films", "corgi")
RUNNING = {"name": "runner", "state": {"running": {"startedAt": "2026-01-01T12:00:00Z"}}}
Document = dict[str, Any]


def settings_of(**more: Any) -> ClusterSettings:
    """What an administrator of a small cluster writes."""
    given = {
        "namespaces": ["films"],
        "weights": "s3://weights",
        "output": "s3://videos",
        "runner": {"image": "runner:1"},
        "report": {"url": "http://operator/v1/progress"},
    }
    return ClusterSettings.model_validate(given | more, by_alias=True, by_name=False)


def video(**spec: Any) -> Document:
    """A request for the smallest model."""
    metadata = {"name": "corgi", "namespace": "films", "uid": "uid-1"}
    return {"metadata": metadata, "spec": {"model": "wan-tiny", "prompt": "a red circle"} | spec}


def node(name: str = "cpu-1", ready: bool = True) -> Document:
    """A machine without GPUs."""
    offer = {"cpu": "16", "memory": "64Gi", "pods": "110"}
    status = {
        "capacity": offer,
        "allocatable": offer,
        "conditions": [{"type": "Ready", "status": str(ready)}],
    }
    return {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}, "status": status}


def pod_of(job: Document, **status: Any) -> Document:
    """The pod that the Job controller makes."""
    template = job["spec"]["template"]["metadata"]
    name = job["metadata"]["name"]
    metadata = {
        "name": f"{name}-x",
        "labels": template["labels"] | {JOB_LABEL: name},
        "annotations": template["annotations"],
        "creationTimestamp": job["metadata"]["creationTimestamp"],
    }
    spec = {"nodeName": "cpu-1", **job["spec"]["template"]["spec"]}
    return {"metadata": metadata, "spec": spec, "status": status}


def ended(job: Document, code: int = 0, result: Result | None = None, **more: Any) -> Document:
    """That pod after its container ended."""
    state = {
        "exitCode": code,
        "startedAt": "2026-01-01T12:00:00Z",
        "finishedAt": "2026-01-01T12:01:00Z",
        "message": result.to_message() if result is not None else "",
    } | more
    statuses = [{"name": "runner", "state": {"terminated": state}}]
    return pod_of(job, phase="Failed" if code else "Succeeded", containerStatuses=statuses)


@dataclass
class Stage:
    """`see` is what a list tells; `look` is one reconcile of the resource."""

    server: ApiServer
    api: Api
    parts: Parts

    async def see(self) -> None:
        for kind, sink in self.parts.sinks:
            for namespace in kind.places:
                await list_all(self.api, kind, namespace, sink)

    async def look(self) -> Looked:
        return await self.parts.reconciler.reconcile(KEY)

    async def settle(self) -> None:
        """See and look until nothing changes."""
        for _ in range(10):
            await self.see()
            before = len(self.server.calls)
            await self.look()
            if len(self.server.calls) == before:
                return
        raise AssertionError(f"it never settles: {self.server.calls}")

    def renew(self) -> None:
        """The operator dies and another one starts."""
        self.parts = assemble(self.parts.settings, self.api, Metrics(), Liveness([]))

    def take_calls(self) -> list[str]:
        """What was asked of the server since the last time, as `post jobs`."""
        calls = [f"{method} {path.removeprefix(VIDEOS + '/')}" for method, path in self.server.calls]
        self.server.calls.clear()
        return [call.replace(JOBS, "jobs") for call in calls]

    @property
    def status(self) -> Document:
        status: Document = self.server.objects[VIDEOS]["corgi"].get("status", {})
        return status

    def job(self, number: int = 1) -> Document:
        jobs = self.server.objects[JOBS].values()
        return next(j for j in jobs if j["metadata"]["name"].endswith(f"-{number}"))

    @property
    def jobs(self) -> list[str]:
        return sorted(self.server.objects[JOBS])


@asynccontextmanager
async def stage(*nodes: Document, **spec: Any) -> AsyncIterator[Stage]:
    """A cluster with these nodes (one, if none is given) and one VideoGeneration that nobody has seen yet."""
    async with api_server() as server, client_of(server) as api:
        for document in nodes or (node(),):
            server.put(NODES, document)
        server.put(VIDEOS, video(**spec))
        parts = assemble(settings_of(), api, Metrics(), Liveness([]))
        it = Stage(server, api, parts)
        await it.see()
        yield it


def on_stage(act: Callable[[Stage], Awaitable[Any]], *nodes: Document, **spec: Any) -> None:
    """`act` in such a cluster, from beginning to end."""

    async def main() -> None:
        async with stage(*nodes, **spec) as it:
            await act(it)

    asyncio.run(main())


__all__ = [
    "JOBS",
    "KEY",
    "NODES",
    "PODS",
    "RUNNING",
    "VIDEOS",
    "Stage",
    "ended",
    "node",
    "on_stage",
    "pod_of",
    "stage",
    "video",
]
