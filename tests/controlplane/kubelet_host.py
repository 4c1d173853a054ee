"""What all pods of a kubelet share, and how one pod speaks to the API server."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from tests.controlplane.kubelet_api import MERGE, Client, Document, Refused
from tests.controlplane.kubelet_nodes import Node
from tests.controlplane.kubelet_process import Image
from tests.controlplane.kubelet_status import now

GONE = (404, 409)  # the object is not there, or another one has its name


@dataclass
class Host:
    """The one machine on which all nodes lie. `images` may change at any time."""

    client: Client
    folder: Path
    images: MutableMapping[str, Image]
    back_off_s: tuple[float, float]  # first and longest; a real kubelet's are 10 and 300
    cgroups: bool
    api_url: str  # what pods are told

    @property
    def groups(self) -> Path:
        """A file for each process group that runs: what must not outlive the tests."""
        return self.folder / "groups"

    def pauses(self) -> Iterator[float]:
        """Growing pauses, without end."""
        pause, longest = self.back_off_s
        while True:
            yield pause
            pause = min(2 * pause, longest)

    def environment(self) -> dict[str, str]:
        """What every process has; nothing else of ours reaches it."""
        return {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}


@contextlib.contextmanager
def unless_gone() -> Iterator[None]:
    """What was to be written may be gone, or another may have taken its name: then nobody needs to know."""
    try:
        yield
    except Refused as error:
        if error.status not in GONE:
            raise


class PodVoice:
    """A pod's events, each once, and counted when it comes again."""

    def __init__(self, pod: Document, node: Node, client: Client) -> None:
        metadata = pod["metadata"]
        self.path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        self._events = f"/api/v1/namespaces/{metadata['namespace']}/events"
        self._node, self._client = node, client
        self._pod = {"kind": "Pod", "apiVersion": "v1"}
        self._pod |= {key: metadata[key] for key in ("name", "namespace", "uid")}
        self._counts: dict[str, int] = {}

    async def tell(self, reason: str, message: str, kind: str = "Warning") -> None:
        """An event about the pod."""
        digest = hashlib.sha256(f"{self._pod['uid']}{reason}{message}".encode()).hexdigest()[:16]
        name = f"{self._pod['name'][:200]}.{digest}"
        count = self._counts[name] = self._counts.get(name, 0) + 1
        await self._node.awake.wait()
        try:
            if count > 1:
                body: Document = {"count": count, "lastTimestamp": now()}
                await self._client.patch(f"{self._events}/{name}", body, MERGE)
            else:
                await self._client.post(self._events, self._build(name, reason, message, kind))
        except Refused as error:
            if error.status not in (403, *GONE):  # 403: the namespace is being deleted
                raise

    def _build(self, name: str, reason: str, message: str, kind: str) -> Document:
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": self._pod["namespace"]},
            "involvedObject": self._pod,
            "reason": reason,
            "message": message[:1024],
            "type": kind,
            "count": 1,
            "firstTimestamp": now(),
            "lastTimestamp": now(),
            "source": {"component": "kubelet", "host": self._node.name},
            "reportingComponent": "kubelet",
            "reportingInstance": self._node.name,
        }
