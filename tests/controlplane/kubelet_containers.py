"""One container of a pod: its image, its environment, its process, its probes.

Only what is written here is done; a field that asks for more is refused, not left out.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.controlplane import kubelet_probes as probes
from tests.controlplane.kubelet_api import Document
from tests.controlplane.kubelet_memory import limit_memory
from tests.controlplane.kubelet_process import (
    Image,
    Launch,
    NotStarted,
    Process,
    build_command,
    expand,
)
from tests.controlplane.kubelet_status import ContainerState, now, running, terminated, waiting
from tests.controlplane.kubelet_volumes import TOKEN_FOLDER, NotMounted, Paths, read_field, read_key

if TYPE_CHECKING:
    from tests.controlplane.kubelet_pods import PodLife

UNSUPPORTED = ("envFrom", "lifecycle", "volumeDevices")
CREATE_ERROR = "CreateContainerConfigError"


class ContainerLife:
    """Its state as the API server is told it, and the process while there is one."""

    def __init__(self, spec: Document, pod: PodLife) -> None:
        self.spec, self._pod = spec, pod
        self.name: str = spec["name"]
        self.state = ContainerState(self.name, spec["image"])
        self.process: Process | None = None
        self._pauses = pod.host.pauses()
        self._started_at = ""
        metadata = pod.pod["metadata"]
        self.logs = pod.host.folder / "logs" / f"{metadata['namespace']}_{metadata['name']}_{metadata['uid']}"

    def log(self, restart: int) -> Path:
        return self.logs / self.name / f"{restart}.log"

    async def run(self, folders: Mapping[str, Path]) -> int:
        """Once, from its image to its end; the exit code."""
        image = await self._pull()
        launch = await self._prepare(image, folders)
        self.state.id = f"process://{uuid.uuid4().hex}"
        self._started_at = now()
        try:
            self.process = Process(launch)
        except NotStarted as error:
            launch.limit.close()
            self.state.state = terminated(128, self._started_at, self.state.id, str(error), "StartError")
            await self._pod.publish()
            return 128
        code = await self._watch(self.process)
        self._conclude()
        await self._pod.publish()
        return code

    async def _watch(self, process: Process) -> int:
        """Probe the process while it runs."""
        self.state.state = running(self._started_at)
        self.state.started = "startupProbe" not in self.spec
        self.state.ready = self.state.started and "readinessProbe" not in self.spec
        probing = asyncio.create_task(self._probe(process))
        try:
            await self._pod.publish()
            return await process.wait()
        finally:
            probing.cancel()
            await asyncio.wait({probing})
            if not probing.cancelled():
                probing.result()

    async def _probe(self, process: Process) -> None:
        turns: asyncio.Queue[tuple[str, bool, str]] = asyncio.Queue()

        def tell(kind: str, ok: bool, why: str) -> None:
            turns.put_nowait((kind, ok, why))

        if "startupProbe" in self.spec:
            await self._await_start(process)
        kinds = [kind for kind in ("livenessProbe", "readinessProbe") if kind in self.spec]
        async with asyncio.TaskGroup() as group:
            for kind in kinds:
                group.create_task(probes.watch(self.spec, kind, partial(tell, kind)))
            while kinds:
                await self._heed(process, *await turns.get())

    async def _await_start(self, process: Process) -> None:
        turns: asyncio.Queue[tuple[bool, str]] = asyncio.Queue()
        watching = asyncio.create_task(
            probes.watch(self.spec, "startupProbe", lambda ok, why: turns.put_nowait((ok, why)), True)
        )
        try:
            ok, why = await turns.get()
            if not ok:
                await self._end_unhealthy(process, "Startup", why)
        finally:
            watching.cancel()
        self.state.started = True
        self.state.ready = "readinessProbe" not in self.spec
        await self._pod.publish()

    async def _heed(self, process: Process, kind: str, ok: bool, why: str) -> None:
        if kind == "livenessProbe" and not ok:
            await self._end_unhealthy(process, "Liveness", why)
        elif kind == "readinessProbe" and self.state.ready != ok:
            self.state.ready = ok
            await self._pod.publish()

    async def _end_unhealthy(self, process: Process, kind: str, why: str) -> None:
        await self._pod.voice.tell("Unhealthy", f"{kind} probe failed: {why}")
        text = f"Container {self.name} failed {kind.lower()} probe, will be restarted"
        await self._pod.voice.tell("Killing", text, "Normal")
        await process.stop(self._pod.pod["spec"].get("terminationGracePeriodSeconds", 30))

    def _conclude(self) -> None:
        """The process has ended: say how."""
        process = self.process
        assert process is not None
        assert process.code is not None
        message = process.read_message(self.spec.get("terminationMessagePolicy", "File"))
        reason = "OOMKilled" if process.oom_killed else None
        self.state.state = terminated(process.code, self._started_at, self.state.id, message, reason)
        self.state.ready = self.state.started = False
        self.process = None

    async def stop(self, grace_s: float) -> None:
        """End the process, if there is one."""
        if self.process is not None:
            await self.process.stop(grace_s)
            self._conclude()

    async def back_off(self) -> None:
        """Wait before the next run, as a container that crashes must."""
        pause = next(self._pauses)
        pod = self._pod.pod["metadata"]
        whole = f"{pod['name']}_{pod['namespace']}({pod['uid']})"
        self.state.last = self.state.state
        text = f"back-off {pause:g}s restarting failed container={self.name} pod={whole}"
        self.state.state = waiting("CrashLoopBackOff", text)
        await self._pod.publish()
        await asyncio.sleep(pause)
        self.state.restarts += 1

    async def _pull(self) -> Image:
        """The image, as soon as there is one."""
        name = self.spec["image"]
        if self.spec.get("imagePullPolicy") == "Never" and name not in self._pod.host.images:
            text = f'Container image "{name}" is not present with pull policy of Never'
            return await self._await_image(name, "ErrImageNeverPull", text, "ErrImageNeverPull", text)
        where = f'failed to resolve reference "{name}": {name}: not found'
        failed = f'failed to pull and unpack image "{name}": {where}'
        held_up = f'Back-off pulling image "{name}": ErrImagePull: {failed}'
        return await self._await_image(name, "ErrImagePull", failed, "ImagePullBackOff", held_up)

    async def _await_image(self, name: str, reason: str, text: str, later: str, held_up: str) -> Image:
        for pause in self._pod.host.pauses():
            if (image := self._pod.host.images.get(name)) is not None:
                return image
            self.state.state = waiting(reason, text)
            await self._pod.publish()
            await self._pod.voice.tell("Failed", f'Failed to pull image "{name}": {text}')
            self.state.state = waiting(later, held_up)
            await self._pod.publish()
            await self._pod.voice.tell("BackOff", f'Back-off pulling image "{name}"', "Normal")
            await asyncio.sleep(pause)
        raise AssertionError("pauses never end")

    async def _prepare(self, image: Image, folders: Mapping[str, Path]) -> Launch:
        """Everything a process starts with, as soon as it can be had."""
        for pause in self._pod.host.pauses():
            try:
                return await self._build_launch(image, folders)
            except NotMounted as error:
                self.state.state = waiting(CREATE_ERROR, str(error))
                await self._pod.publish()
                await self._pod.voice.tell("Failed", f"Error: {error}")
                await asyncio.sleep(pause)
        raise AssertionError("pauses never end")

    async def _build_launch(self, image: Image, folders: Mapping[str, Path]) -> Launch:
        self._refuse_unsupported()
        own = self._pod.folder / "containers" / self.name
        folder, home = own / "work", own / "home"
        for needed in (folder, home, self.log(0).parent):
            needed.mkdir(parents=True, exist_ok=True)
        message = own / f"termination-{self.state.restarts}"
        message.touch()
        mounts = {m["mountPath"]: folders[m["name"]] for m in self.spec.get("volumeMounts", ())}
        paths = Paths({self.spec.get("terminationMessagePath", "/dev/termination-log"): message, **mounts})
        environment = {"HOME": str(home), "TMPDIR": str(home)}
        environment |= self._pod.host.environment() | self._account(mounts, own) | dict(image.environment)
        environment |= {name: paths.translate(text) for name, text in (await self._environment()).items()}
        command = build_command(self.spec, image, environment, paths)
        limit = self.spec.get("resources", {}).get("limits", {}).get("memory")
        name = f"wan-{self._pod.pod['metadata']['uid']}-{self.name}-{self.state.restarts}"
        guard = limit_memory(limit, name, cgroups=self._pod.host.cgroups)
        log, groups = self.log(self.state.restarts), self._pod.host.groups
        return Launch(command, environment, folder, log, message, groups, guard)

    def _refuse_unsupported(self) -> None:
        asked = [name for name in UNSUPPORTED if self.spec.get(name)]
        asked += [p for p in probes.PROBES if p in self.spec and "httpGet" not in self.spec[p]]
        asked += [
            m["mountPath"] for m in self.spec.get("volumeMounts", ()) if m.keys() & {"subPath", "subPathExpr"}
        ]
        if asked:
            raise NotMounted(f"process-kubelet knows no {', '.join(asked)} as it is here")

    def _account(self, mounts: Mapping[str, Path], own: Path) -> dict[str, str]:
        """Where the pod's own token is mounted: a kubeconfig that reads it; there is no Service network."""
        if TOKEN_FOLDER not in mounts:
            return {}
        host = self._pod.host
        path = own / "kubeconfig"
        cluster = {"server": host.api_url, "certificate-authority": str(host.client.access.ca)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "own", "cluster": cluster}],
            "users": [{"name": "own", "user": {"tokenFile": str(mounts[TOKEN_FOLDER] / "token")}}],
            "contexts": [{"name": "own", "context": {"cluster": "own", "user": "own"}}],
            "current-context": "own",
        }
        path.write_text(json.dumps(config))
        return {"KUBECONFIG": str(path)}

    async def _environment(self) -> dict[str, str]:
        """The container's env, in order, each able to use those before it."""
        pod = self._pod.described
        found = {"HOSTNAME": pod["metadata"]["name"]}
        for entry in self.spec.get("env", ()):
            text: str | None = expand(entry.get("value", ""), found)
            for kind, source in entry.get("valueFrom", {}).items():
                text = await self._value(kind, source)
            if text is not None:
                found[entry["name"]] = text
        return found

    async def _value(self, kind: str, source: Document) -> str | None:
        pod = self._pod.described
        if kind == "fieldRef":
            return read_field(pod, source["fieldPath"])
        if kind in ("secretKeyRef", "configMapKeyRef"):
            client, namespace = self._pod.host.client, pod["metadata"]["namespace"]
            return await read_key(client, namespace, kind.removesuffix("KeyRef").lower(), source)
        raise NotMounted(f"process-kubelet knows no valueFrom {kind}")
