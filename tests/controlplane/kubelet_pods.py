"""One pod on one node, from Pending to gone: volumes, images, containers, deadline, deletion.

Law: what the API server is told is one whole status at a time, and a status that says the pod has ended is
never taken back. Not covered: a grace period that is shortened while it runs, ephemeral containers, hooks.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path

from tests.controlplane.kubelet_api import Document
from tests.controlplane.kubelet_containers import ContainerLife
from tests.controlplane.kubelet_host import Host, PodVoice, unless_gone
from tests.controlplane.kubelet_nodes import ADDRESS, Node
from tests.controlplane.kubelet_process import Process
from tests.controlplane.kubelet_status import ENDED, ContainerState, build_patch, lost, now, phase_of
from tests.controlplane.kubelet_volumes import NotMounted, Place, mount

LATE = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
UNSUPPORTED = ("ephemeralContainers", "hostAliases", "resourceClaims")


class PodLife:
    """Owns the pod's processes and its folder."""

    def __init__(self, pod: Document, node: Node, host: Host) -> None:
        self.pod, self.node, self.host = pod, node, host
        self.voice = PodVoice(pod, node, host.client)
        self.folder = host.folder / "pods" / pod["metadata"]["uid"]
        self.started = now()
        self.containers = self._containers("containers")
        self.init = self._containers("initContainers")
        self.ended = False  # the server was told so
        self._policy = pod["spec"].get("restartPolicy", "Always")
        self._phase = "Pending"
        self._reason: tuple[str, str] | None = None
        self._since: dict[str, tuple[str, str]] = {}
        self._speaking = asyncio.Lock()
        self._deleted, self._gone = asyncio.Event(), asyncio.Event()
        self._removed = False
        self._renewals: list[asyncio.Task[None]] = []

    def _containers(self, kind: str) -> list[ContainerLife]:
        return [ContainerLife(spec, self) for spec in self.pod["spec"].get(kind, ())]

    # What the watch tells

    def update(self, pod: Document | None) -> None:
        """The pod as the server has it now; None: it has it no more. A silent node does not hear it."""
        if pod is None:
            self._removed = True
        else:
            self.pod = pod
        if self.node.awake.is_set():
            self.look()

    def look(self) -> None:
        """Act on what the server says."""
        if self._removed:
            self.kill()
            self._gone.set()
            self._deleted.set()
        elif "deletionTimestamp" in self.pod["metadata"]:
            self._deleted.set()

    def kill(self) -> None:
        """SIGKILL, now."""
        for process in self.processes:
            process.signal(signal.SIGKILL)

    @property
    def processes(self) -> list[Process]:
        every = [c.process for c in (*self.init, *self.containers)]  # once: tests ask from their own thread
        return [process for process in every if process is not None and process.code is None]

    # Its life

    async def live(self) -> None:
        """Until the pod is gone."""
        try:
            await self._run()
            await self._deleted.wait()
            await self._finish()
        finally:
            self.kill()
            for task in self._renewals:
                task.cancel()
            shutil.rmtree(self.folder, ignore_errors=True)

    async def _run(self) -> None:
        """Until it has ended by itself or had to."""
        work = asyncio.create_task(self._work())
        late, deleted = asyncio.create_task(self._deadline()), asyncio.create_task(self._deleted.wait())
        try:
            await asyncio.wait({work, late, deleted}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                await work
                return
            if not deleted.done():
                self._reason = LATE
        finally:
            for task in (work, late, deleted):
                task.cancel()
            await asyncio.wait({work, late, deleted})
        await self._stop()

    async def _work(self) -> None:
        """Prepare and run the containers to their end."""
        for name in UNSUPPORTED:
            if self.pod["spec"].get(name):
                raise NotImplementedError(f"process-kubelet knows no {name}")
        await self.publish()
        folders = {v["name"]: await self._mount(v) for v in self.pod["spec"].get("volumes", ())}
        for container in self.init:
            while await container.run(folders) != 0:
                if self._policy == "Never":
                    await self.publish("Failed")
                    return
                await container.back_off()
        await asyncio.gather(*(self._keep(container, folders) for container in self.containers))

    async def _keep(self, container: ContainerLife, folders: dict[str, Path]) -> None:
        """Run it as often as the restart policy says."""
        while True:
            code = await container.run(folders)
            if self._policy == "Never" or (self._policy == "OnFailure" and code == 0):
                return
            await container.back_off()

    async def _mount(self, volume: Document) -> Path:
        """The volume's folder, as soon as there is one."""
        place = Place(self.described, self.folder, self.node_folder)
        for pause in self.host.pauses():
            try:
                folder, renew_s = await mount(self.host.client, place, volume)
            except NotMounted as error:
                message = f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}'
                await self.voice.tell("FailedMount", message)
                await asyncio.sleep(pause)
                continue
            if renew_s is not None:
                self._renewals.append(asyncio.create_task(self._renew(place, volume, renew_s)))
            return folder
        raise AssertionError("pauses never end")

    async def _renew(self, place: Place, volume: Document, after_s: float) -> None:
        while True:
            await asyncio.sleep(after_s)
            try:
                await self.node.awake.wait()
                _, renew_s = await mount(self.host.client, place, volume)
                after_s = renew_s or after_s
            except NotMounted as error:
                await self.voice.tell("FailedMount", f"token not renewed: {error}")
                after_s = 10.0

    async def _deadline(self) -> None:
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        if seconds is None:
            await asyncio.Event().wait()
        await asyncio.sleep(seconds)

    async def _stop(self) -> None:
        """End what runs, and say how the pod ended."""
        grace = self.pod["metadata"].get("deletionGracePeriodSeconds")
        if grace is None:
            grace = self.pod["spec"].get("terminationGracePeriodSeconds", 30)
        everything = (*self.init, *self.containers)
        await asyncio.gather(*(c.stop(grace) for c in everything))
        for container in everything:
            if container.state.kind == "waiting":
                container.state.state = container.state.last or lost()
        failed = self._reason is not None or any(c.exit_code for c in self._states)
        await self.publish("Failed" if failed else "Succeeded")

    async def _finish(self) -> None:
        """Leave nothing of it, and tell the server so."""
        for task in self._renewals:
            task.cancel()
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)
        if self._gone.is_set():
            return
        metadata = self.pod["metadata"]
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
        await self.node.awake.wait()
        with unless_gone():
            await self.host.client.delete(self.voice.path, options)
        await self._gone.wait()

    # What the server is told

    @property
    def _states(self) -> list[ContainerState]:
        return [c.state for c in self.containers]

    @property
    def node_folder(self) -> Path:
        return self.host.folder / "nodes" / self.node.name

    @property
    def described(self) -> Document:
        """The pod with what its status is about to say, for the downward API."""
        return self.pod | {"status": {"podIP": ADDRESS, "hostIP": ADDRESS}}

    async def publish(self, phase: str | None = None) -> None:
        """Write the whole status as it is now."""
        async with self._speaking:
            if self._phase not in ENDED:
                init = [c.state for c in self.init]
                initialized = all(state.exit_code == 0 for state in init)
                self._phase = phase or phase_of(self._states, initialized, self._policy)
            await self._write()

    async def _write(self) -> None:
        await self.node.awake.wait()
        patch = build_patch(
            self.pod,
            self._phase,
            self._states,
            [c.state for c in self.init],
            since=self._since,
            started=self.started,
            reason=self._reason,
        )
        conditions = patch["status"]["conditions"]
        self._since = {c["type"]: (c["status"], c["lastTransitionTime"]) for c in conditions}
        with unless_gone():
            await self.host.client.patch(f"{self.voice.path}/status", patch)
        self.ended = self._phase in ENDED
