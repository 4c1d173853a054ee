"""A kubelet that runs each pod as processes on this machine: any number of nodes, no privileges needed.

It does what a kubelet does for what this project uses, and refuses what it does not know. It lives in a
thread with its own event loop; its methods may be called from any other thread.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal
import subprocess
import threading
from collections.abc import Coroutine, MutableMapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from tests.controlplane.control_plane import ControlPlane
from tests.controlplane.kubelet_api import RETRY_S, Client, Document, WatchEndedError, read_kubeconfig
from tests.controlplane.kubelet_containers import ContainerLife
from tests.controlplane.kubelet_host import Host, unless_gone
from tests.controlplane.kubelet_logs import serve
from tests.controlplane.kubelet_nodes import Node, NodeSpec, is_told_ready
from tests.controlplane.kubelet_pods import PodLife
from tests.controlplane.kubelet_process import CLEAN_S, Image, find_group
from tests.controlplane.kubelet_simulation import SimulatedLife, Simulation, is_simulated
from tests.controlplane.kubelet_status import ENDED

__all__ = ["Image", "NodeSpec", "ProcessKubelet", "Simulation"]

ASSIGNED = "spec.nodeName!="
CALL_S = 60.0
BEATS = 1 / 4  # of the silence after which a node counts as lost: 10 s of 40 s upstream
# Reads until its pipe closes, which happens when this process ends in any way; then ends what was left.
GUARD = """read _; cd "$0"
for g in *; do kill -s KILL -- "-$g" 2>/dev/null; done
for g in *; do read -r c < "$g"; n=0
  while [ -d "$c" ] && [ $n -lt 100 ] && ! rmdir "$c" 2>/dev/null; do n=$((n+1)); sleep 0.05; done
done"""

log = logging.getLogger(__name__)
Value = TypeVar("Value")
Life = PodLife | SimulatedLife
_numbers = itertools.count(1)


class ProcessKubelet:
    """Starts on `with`; on leaving it ends every process and says what went wrong inside it.

    `images` is looked at anew for each pod. `simulation`: pods that carry a Task run as it says, without
    processes. `api_url`: what pods are told of the API server, such as a proxy before it.
    """

    def __init__(
        self,
        control_plane: ControlPlane,
        images: MutableMapping[str, Image],
        nodes: Sequence[NodeSpec],
        folder: Path | None = None,
        *,
        simulation: Simulation | None = None,
        heartbeat_s: float | None = None,
        back_off_s: tuple[float, float] = (0.5, 5.0),
        cgroups: bool = True,
        api_url: str = "",
    ) -> None:
        self.folder = folder or control_plane.folder / f"kubelet-{next(_numbers)}"
        self.images = images
        self._plane, self._specs = control_plane, nodes
        self._simulation = simulation
        self._heartbeat_s = heartbeat_s or control_plane.options.node_grace_s * BEATS
        self._back_off_s, self._cgroups = back_off_s, cgroups
        self._api_url = api_url or control_plane.url
        self._nodes: dict[str, Node] = {}
        self._lives: dict[str, Life] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.failures: list[BaseException] = []
        self._open_things = AsyncExitStack()

    def __enter__(self) -> ProcessKubelet:
        (self.folder / "groups").mkdir(parents=True)
        command = ["sh", "-c", GUARD, str(self.folder / "groups")]
        self._guard = subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kubelet", daemon=True)
        self._thread.start()
        try:
            self._call(self._open())
        except BaseException:
            self._shut()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shut()
        if self.failures and error is None:
            raise ExceptionGroup(
                "the kubelet itself failed", [e for e in self.failures if isinstance(e, Exception)]
            )

    # What tests do to it

    def silence(self, node: str) -> None:
        """The node is heard of no more and hears nothing; its processes go on."""
        self._loop.call_soon_threadsafe(self._nodes[node].awake.clear)

    def wake(self, node: str) -> None:
        """The node is back, and acts on what it missed."""
        self._call(self._wake(self._nodes[node]))

    def add_node(self, spec: NodeSpec) -> None:
        self._call(self._add(spec))

    def remove_node(self, name: str) -> None:
        """The machine is gone, and everything on it; its object too."""
        self._call(self._remove(self._nodes[name]))

    def set_ready(self, node: str, ready: bool) -> None:
        """The node says that it is ready, or not."""
        self._nodes[node].spec = replace(self._nodes[node].spec, ready=ready)
        self._call(self._nodes[node].tell_status(self._pulse))

    def processes(self, pod: str) -> list[int]:
        """The living processes of a pod, named "namespace/name"."""
        groups = [
            process.pid
            for life in self._named(*pod.split("/"))
            if isinstance(life, PodLife)
            for process in life.processes
        ]
        return [pid for group in groups for pid in find_group(group)]

    def kill_processes(self, pod: str, number: int = signal.SIGKILL) -> None:
        """A signal from nowhere to every container of a pod."""
        for life in self._named(*pod.split("/")):
            if isinstance(life, PodLife):
                for process in life.processes:
                    process.signal(number)

    def node_folder(self, node: str) -> Path:
        """The folder that stands for a node's disk."""
        return self.folder / "nodes" / node

    @property
    def logs(self) -> Path:
        """Every container's output: <namespace>_<pod>_<uid>/<container>/<restart>.log; kept until the end."""
        return self.folder / "logs"

    # Inside

    def _call(self, work: Coroutine[Any, Any, Value]) -> Value:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_S)

    async def _open(self) -> None:
        kubeconfig = self._plane.kubeconfig_for("process-kubelet", ["system:masters"])
        self._client, self._pulse = (Client(read_kubeconfig(kubeconfig)) for _ in range(2))
        self._open_things.push_async_callback(self._client.close)
        self._open_things.push_async_callback(self._pulse.close)
        self._host = Host(
            self._client, self.folder, self.images, self._back_off_s, self._cgroups, self._api_url
        )
        serving = self._plane.certificates.serving(self.folder.name)
        server, self._port = await serve(self._find_container, serving, self._plane.ca)
        self._open_things.push_async_callback(server.cleanup)
        await asyncio.gather(*(self._add(spec) for spec in self._specs))
        self._spawn(self._follow())
        self._spawn(self._beat())

    def _shut(self) -> None:
        try:
            self._call(self._close())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._guard.communicate()

    async def _close(self) -> None:
        for life in self._lives.values():
            life.kill()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        while any((self.folder / "groups").iterdir()):
            await asyncio.sleep(CLEAN_S)
        await self._open_things.aclose()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the kubelet itself failed", exc_info=error)
            self.failures.append(error)

    async def _add(self, spec: NodeSpec) -> None:
        node = self._nodes[spec.name] = Node(spec, self._port)
        await node.register(self._pulse)

    async def _remove(self, node: Node) -> None:
        del self._nodes[node.name]
        for life in [life for life in self._lives.values() if life.node is node]:
            node.awake.clear()
            life.kill()
        await node.remove(self._pulse)

    async def _wake(self, node: Node) -> None:
        node.awake.set()
        await node.renew_lease(self._pulse)
        await node.tell_status(self._pulse)
        for life in [life for life in self._lives.values() if life.node is node]:
            life.look()
            if isinstance(life, PodLife) and not life.ended:
                await life.publish()

    async def _beat(self) -> None:
        """Renew every lease, never behind the pods' calls; say again what the server has wrong of a node."""
        while True:
            await asyncio.sleep(self._heartbeat_s)
            awake = [node for node in self._nodes.values() if node.awake.is_set()]
            await asyncio.gather(*(node.renew_lease(self._pulse) for node in awake))
            seen = {
                d["metadata"]["name"]: d
                for d in (await self._pulse.get("/api/v1/nodes", resourceVersion="0"))["items"]
            }
            for node in awake:
                if node.name in seen and is_told_ready(seen[node.name]) != node.spec.ready:
                    with unless_gone():
                        await node.tell_status(self._pulse)

    async def _follow(self) -> None:
        """Every pod on our nodes, listed again where the watch cannot go on."""
        while True:
            pods, version = await self._client.list_all("/api/v1/pods", ASSIGNED)
            known = {pod["metadata"]["uid"] for pod in pods}
            for uid, life in self._lives.items():
                if uid not in known:
                    life.update(None)
            for pod in pods:
                self._see("ADDED", pod)
            try:
                async for kind, pod in self._client.watch("/api/v1/pods", ASSIGNED, version):
                    self._see(kind, pod)
            except WatchEndedError as error:
                log.debug("listing pods again: %s", error)
                await asyncio.sleep(RETRY_S[0])

    def _see(self, kind: str, pod: Document) -> None:
        uid, node = pod["metadata"]["uid"], self._nodes.get(pod["spec"].get("nodeName", ""))
        if (life := self._lives.get(uid)) is not None:
            life.update(None if kind == "DELETED" else pod)
        elif node is not None and kind != "DELETED":
            if pod["status"].get("phase") == "Pending":
                self._begin(uid, pod, node)
            elif "deletionTimestamp" in pod["metadata"] and pod["status"]["phase"] not in ENDED:
                self._spawn(self._forget(pod))

    def _begin(self, uid: str, pod: Document, node: Node) -> None:
        simulation = self._simulation
        life: Life = PodLife(pod, node, self._host)
        if simulation is not None and is_simulated(pod):
            life = SimulatedLife(pod, node, self._client, simulation)
        self._lives[uid] = life
        self._spawn(self._live(uid, life))
        life.update(pod)

    async def _live(self, uid: str, life: Life) -> None:
        try:
            await life.live()
        finally:
            del self._lives[uid]

    async def _forget(self, pod: Document) -> None:
        """A pod of ours that we do not know, on its way out: nothing runs, let it go."""
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        with unless_gone():
            options = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
            await self._client.delete(path, options)

    def _named(self, namespace: str, name: str) -> list[Life]:
        wanted = {"namespace": namespace, "name": name}.items()
        return [life for life in list(self._lives.values()) if wanted <= life.pod["metadata"].items()]

    def _find_container(self, namespace: str, pod: str, container: str) -> ContainerLife | None:
        lives = [life for life in self._named(namespace, pod) if isinstance(life, PodLife)]
        found = [c for life in lives for c in (*life.init, *life.containers) if c.name == container]
        return found[-1] if found else None
