"""A throwaway cluster on this machine, to try docs/guides/install.md on: `make playground`.

A real control plane and a real S3; one node, whose kubelet runs pods as processes of yours, without
isolation. Images are not pulled: the two that examples/cluster/values.yaml names stand for this tree.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import threading
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from tests.controlplane import build
from tests.controlplane.control_plane import ControlPlane
from tests.controlplane.kubelet import Image, NodeSpec, ProcessKubelet
from tests.controlplane.process import free_port
from tests.controlplane.s3 import S3Server

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "cluster" / "values.yaml"
ENDING = (signal.SIGINT, signal.SIGTERM)
TOLD = """A cluster with one node and an empty S3 is up. In another terminal, from this folder:

  source {folder}/env.sh

and go on with docs/guides/install.md from "Publish a model"; values.yaml is {folder}/values.yaml.
Ctrl-C ends it.
"""


def main() -> None:
    """Run it until a signal."""
    parser = argparse.ArgumentParser(description="A throwaway cluster on this machine.")
    parser.add_argument("folder", type=Path, help="where its files go; must not exist yet")
    folder: Path = parser.parse_args().folder.absolute()
    if folder.exists():
        parser.error(f"{folder} is there already; remove it, or name another folder")
    folder.mkdir(parents=True)
    values = yaml.safe_load(EXAMPLE.read_text())
    stop = threading.Event()
    for number in ENDING:
        signal.signal(number, lambda *_: stop.set())
    with (
        S3Server(folder / "s3") as s3,
        ControlPlane(folder / "control") as control,
        ProcessKubelet(control, build_images(values), (NodeSpec("node-1"),), folder / "kubelet"),
    ):
        (folder / "values.yaml").write_text(yaml.safe_dump(adapt(values, s3), sort_keys=False))
        (folder / "env.sh").write_text(build_environment(control, s3))
        print(TOLD.format(folder=folder), flush=True)
        stop.wait()


def build_images(values: Mapping[str, Any]) -> dict[str, Image]:
    """The images that the values name, as commands of this tree."""
    tag = version("wan-operator")
    return {
        f"{values['image']['repository']}:{tag}": Image((sys.executable, "-m", "wan_operator")),
        f"{values['runner']['image']['repository']}:{tag}": Image((sys.executable, "-m", "wan_runner")),
    }


def adapt(values: Mapping[str, Any], s3: S3Server) -> dict[str, Any]:
    """The example's values for this machine: its S3, and free ports, as pods have no network of their own."""
    report = free_port()
    return {
        **values,
        "s3": {**values["s3"], "endpointUrl": s3.endpoint},
        "healthPort": free_port(),
        "report": {"port": report, "url": f"http://127.0.0.1:{report}/v1/progress"},
    }


def build_environment(control: ControlPlane, s3: S3Server) -> str:
    """Shell lines: kubectl and helm of the cluster's version, wan-runner, and who we are there."""
    programs = {str(Path(str(build.tool(name))).parent): None for name in ("kubectl", "helm")}
    path = ":".join([*programs, str(Path(sys.executable).parent)])
    settings = {
        "KUBECONFIG": str(control.kubeconfig),
        "AWS_ENDPOINT_URL": s3.endpoint,
        "AWS_REGION": s3.region,
        "AWS_ACCESS_KEY_ID": s3.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.secret_key,
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in settings.items()]
    return "\n".join([*lines, f'export PATH={shlex.quote(path)}:"$PATH"', ""])


if __name__ == "__main__":
    main()
