"""The same tests on a cluster that is there already. It must be a throwaway one: what they make, they remove.

WAN_E2E_KUBECONFIG  its kubeconfig, of somebody who may do everything
WAN_E2E_S3_HOST     an address of this machine that its pods reach; S3 listens there
WAN_E2E_IMAGES      where both images are, `{}` for the name; default `{}:e2e`
WAN_E2E_VALUES      further values for the chart, if it needs any

Tests that need power over nodes, the scripted runner or the audit log are skipped there, with the reason.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

from tests.controlplane.client import Api
from tests.controlplane.control_plane import ControlPlane
from tests.controlplane.s3 import S3Server
from tests.e2e.bed import GRACE_S, SYSTEM, Bed, Options, merged

KUBECONFIG = "WAN_E2E_KUBECONFIG"
ADMIN = "wan-e2e"
PORTS = {"health_port": "healthPort", "report_port": "report"}  # of a bed, and what they are in the chart


class GivenCluster(ControlPlane):
    """Somebody else's control plane: spoken to like ours, never started or stopped."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self.folder, self.kubeconfig = folder, kubeconfig
        folder.mkdir(parents=True)
        view = self.kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json")
        cluster = json.loads(view)["clusters"][0]["cluster"]
        self.url, self.ca = cluster["server"], folder / "ca.crt"
        self.ca.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))

    def open(self) -> None:
        self.kubectl("create", "serviceaccount", ADMIN, "-n", "default")
        account = f"--serviceaccount=default:{ADMIN}"
        self.kubectl("create", "clusterrolebinding", ADMIN, "--clusterrole=cluster-admin", account)
        token = self.kubectl("create", "token", ADMIN, "-n", "default", "--duration=4h")
        self.api = Api(self.url, self.ca, token.strip())

    def close(self) -> None:
        for kind in ("clusterrolebinding", "serviceaccount"):
            self.kubectl("delete", kind, ADMIN, "-n", "default", "--ignore-not-found")

    def __getattr__(self, name: str) -> NoReturn:
        """What only a control plane of our own has: its programs, its audit log."""
        pytest.skip(f"needs a control plane of our own: {name}")


class NoKubelet:
    """In the kubelet's place where nodes are not ours."""

    def __getattr__(self, name: str) -> NoReturn:
        pytest.skip(f"needs power over nodes: {name}")


class GivenBed(Bed):
    """The chart on somebody else's cluster, with the images that were built for it."""

    def __getattr__(self, name: str) -> NoReturn:
        if name in PORTS:
            pytest.skip(f"needs the operator's ports on this machine: {name}")
        raise AttributeError(name)

    def values(self, **more: Any) -> dict[str, Any]:
        self.health_port = self.report_port = 0
        ours = super().values()
        for attribute, value in PORTS.items():  # the chart's own ports are free in a pod
            delattr(self, attribute)
            del ours[value]
        ours["image"] = image("wan-operator")
        ours["runner"] |= {"image": image("wan-runner"), "terminationGracePeriodSeconds": GRACE_S}
        if given := os.environ.get("WAN_E2E_VALUES"):
            ours = merged(yaml.safe_load(Path(given).read_text()), ours)
        return merged(ours, more)

    def runner(self, name: str) -> dict[str, Any]:
        pytest.skip(f"needs a runner of the test bed's own: {name}")

    def remove(self) -> None:
        """What was installed and made, the CustomResourceDefinition apart."""
        self.control.helm("uninstall", "wan", "-n", SYSTEM, "--ignore-not-found")
        self.control.kubectl("delete", "namespace", *self.namespaces, "--ignore-not-found", "--timeout=120s")
        self.control.kubectl("delete", "pv", "-l", "app.kubernetes.io/instance=wan")


def image(name: str) -> dict[str, str]:
    """Repository and tag of one of the two images."""
    place = os.environ.get("WAN_E2E_IMAGES", "{}:e2e").format(name)
    repository, _, tag = place.rpartition(":")
    return {"repository": repository, "tag": tag}


@contextmanager
def start_elsewhere(folder: Path, options: Options) -> Iterator[Bed]:
    """The chart on the cluster of WAN_E2E_KUBECONFIG, with the tiny models published."""
    if options.runner != "wan-runner" or options.simulation or options.nodes != Options().nodes:
        pytest.skip("needs nodes, or a runner, of the test bed's own")
    host = os.environ.get("WAN_E2E_S3_HOST", "127.0.0.1")
    kubeconfig = Path(os.environ[KUBECONFIG]).absolute()
    with S3Server(folder / "s3", host) as s3, GivenCluster(kubeconfig, folder / "control") as control:
        s3.publish_tiny()
        bed = GivenBed(control, NoKubelet(), {}, s3, folder, options)  # type: ignore[arg-type]
        try:
            bed.install()
            yield bed
        finally:
            bed.remove()
