"""Nodes as the API server sees them: registered, alive by lease and condition, or silent.

A silent node's calls wait until it is woken; what runs on it goes on. Not covered: pressure conditions,
images in the node's status, re-registration of a node that somebody deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.controlplane.kubelet_api import MERGE, STRATEGIC, Client, Document, Refused

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
ADDRESS = "127.0.0.1"


@dataclass(frozen=True)
class NodeSpec:
    """One node: its labels, what it offers, its taints ({key, value, effect}), whether it says that it is
    ready.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    cpu: str = "16"
    memory: str = "64Gi"
    pods: int = 110
    resources: Mapping[str, str] = field(default_factory=dict)  # nvidia.com/gpu and its like
    taints: Sequence[Mapping[str, str]] = ()
    ready: bool = True

    def build_capacity(self) -> dict[str, str]:
        return {
            "cpu": self.cpu,
            "memory": self.memory,
            "pods": str(self.pods),
            "ephemeral-storage": "100Gi",
            **self.resources,
        }


class Node:
    """A node and whether it speaks."""

    def __init__(self, spec: NodeSpec, port: int) -> None:
        self.spec, self.port = spec, port
        self.awake = asyncio.Event()
        self.awake.set()

    @property
    def name(self) -> str:
        return self.spec.name

    async def register(self, client: Client) -> None:
        """Create the node, or take over the one of that name; then say what it offers."""
        try:
            await client.post("/api/v1/nodes", build_node(self.spec))
        except Refused as error:
            if error.status != 409:
                raise
            await client.patch(f"/api/v1/nodes/{self.name}", build_node(self.spec))
        await self.renew_lease(client)
        await self.tell_status(client)

    async def tell_status(self, client: Client) -> None:
        body = {"status": build_status(self.spec, self.port)}
        await client.patch(f"/api/v1/nodes/{self.name}/status", body, STRATEGIC)

    async def renew_lease(self, client: Client) -> None:
        """Write the lease; make it first if need be."""
        spec = {
            "holderIdentity": self.name,
            "leaseDurationSeconds": 40,
            "renewTime": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        }
        while True:
            try:
                await client.patch(f"{LEASES}/{self.name}", {"spec": spec}, MERGE)
                return
            except Refused as error:
                if error.status != 404:
                    raise
            try:
                await client.post(LEASES, {"metadata": {"name": self.name}, "spec": spec})
                return
            except Refused as error:  # 404: the namespace is not there yet
                if error.status not in (404, 409):
                    raise
            await asyncio.sleep(0.2)

    async def remove(self, client: Client) -> None:
        """Take the node and its lease from the server."""
        for path in (f"/api/v1/nodes/{self.name}", f"{LEASES}/{self.name}"):
            try:
                await client.delete(path, {})
            except Refused as error:
                if error.status != 404:
                    raise


def is_told_ready(document: Document) -> bool:
    conditions = document["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def build_node(spec: NodeSpec) -> Document:
    labels = {
        "kubernetes.io/hostname": spec.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        **spec.labels,
    }
    body: Document = {"metadata": {"name": spec.name, "labels": labels}}
    if spec.taints:
        body["spec"] = {"taints": [dict(taint) for taint in spec.taints]}
    return {"apiVersion": "v1", "kind": "Node", **body}


def build_status(spec: NodeSpec, port: int) -> Document:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    reason = "KubeletReady" if spec.ready else "KubeletNotReady"
    ready = {"type": "Ready", "status": str(spec.ready), "reason": reason, "message": "by process-kubelet"}
    return {
        "capacity": spec.build_capacity(),
        "allocatable": spec.build_capacity(),
        "conditions": [ready | {"lastHeartbeatTime": now, "lastTransitionTime": now}],
        "addresses": [{"type": "InternalIP", "address": ADDRESS}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "nodeInfo": {
            "kubeletVersion": "v1.36.3",
            "containerRuntimeVersion": "process://1",
            "operatingSystem": "linux",
            "architecture": "amd64",
            "osImage": "none",
            "kernelVersion": "none",
            "machineID": spec.name,
            "systemUUID": spec.name,
            "bootID": spec.name,
            "kubeProxyVersion": "",
        },
    }
