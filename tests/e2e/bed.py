"""A cluster with the chart installed: what a test module runs on.

The operator is the pod of the chart's Deployment, with the rights of the chart's service account and no
others; the test bed's kubelet runs it as a process.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tests.controlplane.client import ApiError, Document
from tests.controlplane.commands import Options as Settings
from tests.controlplane.control_plane import ControlPlane
from tests.controlplane.fault_proxy import FaultProxy
from tests.controlplane.kubelet import Image, NodeSpec, ProcessKubelet, Simulation
from tests.controlplane.process import free_port
from tests.controlplane.s3 import S3Server

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "wan-operator"
SYSTEM = "wan-system"
TAG = "e2e"
SEED = int(os.environ.get("WAN_E2E_SEED") or random.randrange(10**6))  # of all that tests draw by chance
GRACE_S = 5  # of runners, so that tests of stopping do not take minutes
RUNNERS = {
    "wan-runner": Image((sys.executable, "-m", "wan_runner")),
    "scripted": Image((sys.executable, "-m", "tests.controlplane.scripted"), {"PYTHONPATH": str(ROOT)}),
    "large": Image((sys.executable, "-m", "tests.controlplane.large"), {"PYTHONPATH": str(ROOT)}),
}
T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """How a module wants its cluster. `values` are laid over those of the bed, key by key.

    With a `simulation`, attempts are no processes. With `proxy`, the operator reaches the API server through
    a FaultProxy, and nothing else does. `back_off_s`: first and longest pause before a container starts anew.
    """

    nodes: Sequence[NodeSpec] = (NodeSpec("cpu-1"),)
    runner: str = "wan-runner"
    values: Mapping[str, Any] = field(default_factory=dict)
    namespaces: int = 14
    simulation: Simulation | None = None
    proxy: bool = False
    back_off_s: tuple[float, float] = (0.5, 5.0)
    control_plane: Settings = field(default_factory=Settings)


class Bed:
    """The running cluster. `namespaces` are served; `take_namespace` gives each once, with its S3 Secret."""

    def __init__(
        self,
        control: ControlPlane,
        kubelet: ProcessKubelet,
        images: dict[str, Image],
        s3: S3Server,
        folder: Path,
        options: Options,
        proxy: FaultProxy | None = None,
    ) -> None:
        self.control, self.kubelet, self.s3, self.folder, self.options = control, kubelet, s3, folder, options
        self._proxy = proxy
        self.api = control.api
        self.images = images
        self.namespaces = [f"films-{i}" for i in range(1, options.namespaces + 1)]
        self._free = list(self.namespaces)
        self.health_port, self.report_port = free_port(), free_port()

    @property
    def proxy(self) -> FaultProxy:
        """What stands between the operator and the API server."""
        assert self._proxy is not None, "this module's BED has no proxy"
        return self._proxy

    def values(self, **more: Any) -> dict[str, Any]:
        """The chart's values for this bed, with `more` laid over them."""
        own = {
            "weights": "s3://weights",
            "output": "s3://videos",
            "imageBuckets": ["inputs"],
            "s3": {"endpointUrl": self.s3.endpoint, "region": self.s3.region},
            "generations": {"namespaces": self.namespaces},
            "image": {"repository": "wan-operator", "tag": TAG},
            "runner": {
                "image": {"repository": self.options.runner, "tag": TAG},
                "cpu": "100m",
                "terminationGracePeriodSeconds": GRACE_S,
            },
            "healthPort": self.health_port,
            "report": {"port": self.report_port, "url": f"http://127.0.0.1:{self.report_port}/v1/progress"},
        }
        return merged(merged(own, self.options.values), more)

    def runner(self, name: str) -> dict[str, Any]:
        """The values by which runners are of that image of RUNNERS."""
        return {"runner": {"image": {"repository": name}}}

    def install(self, *, wait: bool = True, **more: Any) -> None:
        """`helm upgrade --install` of the chart; returns once the operator is ready."""
        file = self.folder / "values.yaml"
        file.write_text(yaml.safe_dump(self.values(**more)))
        self.control.helm(
            "upgrade", "--install", "wan", str(CHART), "-n", SYSTEM, "--create-namespace", "-f", str(file)
        )
        if wait:
            self.wait_for_operator()

    def wait_for_operator(self, timeout_s: float = 180) -> None:
        """Until the Deployment's own pod is ready."""

        def ready() -> bool:
            status = self.deployment().get("status", {})
            seen = status.get("observedGeneration") == self.deployment()["metadata"]["generation"]
            return seen and status.get("updatedReplicas") == 1 and status.get("readyReplicas") == 1

        wait_until(ready, timeout_s, lambda: f"the operator is not ready:\n{self.operator_log()[-3000:]}")

    def deployment(self) -> Document:
        return self.api.get(f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/wan-operator")

    def node(self, name: str) -> Document:
        """As those who watch are told of it: of what we do next they hear later."""
        return self.api.get(f"/api/v1/nodes/{name}", resourceVersion="0")

    def operator_pods(self) -> list[Document]:
        return self.api.list(
            f"/api/v1/namespaces/{SYSTEM}/pods", labelSelector="app.kubernetes.io/component=operator"
        )

    def kill_operator(self) -> None:
        """SIGKILL, as soon as its process is there; the kubelet starts it again."""
        (pod,) = self.operator_pods()
        name = f"{SYSTEM}/{pod['metadata']['name']}"
        wait_until(lambda: self.kubelet.processes(name), 120, lambda: f"{name} does not run")
        self.kubelet.kill_processes(name)

    def operator_log(self) -> str:
        """What the operator wrote, as kubectl logs shows it."""
        texts = []
        for pod in self.operator_pods():
            try:
                texts.append(self.control.kubectl("logs", "-n", SYSTEM, pod["metadata"]["name"]))
            except Exception as error:  # noqa: BLE001 - a log is for the reader of a failure
                texts.append(str(error))
        return "\n".join(texts)

    def take_namespace(self, *, secret: bool = True) -> str:
        """A served namespace that no other test has used."""
        name = self._free.pop(0)
        if secret:
            self.give_secret(name)
        return name

    def give_secret(self, namespace: str, name: str = "wan-s3") -> None:
        """The administrator's part: S3 credentials as an AWS shared file."""
        file = self.folder / "credentials"
        self.s3.write_credentials(file)
        self.control.kubectl(
            "create", "secret", "generic", name, "-n", namespace, f"--from-file=credentials={file}"
        )


@contextmanager
def start_bed(folder: Path, options: Options) -> Iterator[Bed]:
    """A cluster of that kind, with the chart installed and the tiny models published."""
    print(f"drawn by chance with WAN_E2E_SEED={SEED}")
    with ExitStack() as stack:
        s3 = stack.enter_context(S3Server(folder / "s3"))
        if options.runner == "wan-runner":
            s3.publish_tiny()
        control = stack.enter_context(ControlPlane(folder / "control", options.control_plane))
        images = {f"{name}:{TAG}": image for name, image in RUNNERS.items()}
        images[f"wan-operator:{TAG}"] = Image((sys.executable, "-m", "wan_operator"))
        proxy = stack.enter_context(FaultProxy(control, SEED)) if options.proxy else None
        kubelet = stack.enter_context(
            ProcessKubelet(
                control,
                images,
                options.nodes,
                folder / "kubelet",
                simulation=options.simulation,
                back_off_s=options.back_off_s,
                api_url=proxy.url if proxy is not None else "",
            )
        )
        bed = Bed(control, kubelet, images, s3, folder, options, proxy)
        bed.install()
        yield bed


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` laid over `below`; mappings are merged, all else replaced."""
    out = dict(below)
    for key, value in above.items():
        old = out.get(key)
        out[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return out


def wait_until(ask: Callable[[], T], timeout_s: float, why: Callable[[], str] = lambda: "") -> T:
    """The first true answer; fails with `why()` after `timeout_s`. A 404 counts as not yet, and so does the
    word of an API server that is busy or broken for the moment.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if answer := ask():
                return answer
        except ApiError as refusal:
            if refusal.status not in (404, 429) and refusal.status < 500:
                raise
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s} s in vain: {why()}")
        time.sleep(0.1)
