"""The chart's pods are admitted where they belong, and the one that makes folders makes them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.charts.conftest import Cluster
from tests.charts.jobs import good_job
from tests.charts.render import Rendered

pytestmark = pytest.mark.slow

SERVED, NODES = "wan-video", "wan-node-cache"


def pod_of(workload: dict[str, Any]) -> dict[str, Any]:
    """The workload's pod; under the default account, for its own may not be in the namespace."""
    template = workload["spec"]["template"]
    spec = {**template["spec"], "serviceAccountName": "default"}
    metadata = {"name": "trial", "labels": template["metadata"]["labels"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@pytest.fixture(scope="module")
def installed(cluster: Cluster) -> Cluster:
    cluster.install({})
    return cluster


@pytest.mark.parametrize(
    ("kind", "namespace"), [("Deployment", SERVED), ("DaemonSet", NODES)], ids=["operator", "folder maker"]
)
def test_a_pod_of_the_chart_is_admitted(installed: Cluster, kind: str, namespace: str) -> None:
    """The operator's even where Pod Security is `restricted`, as it is in the served namespace."""
    pod = pod_of(Rendered().one(kind))
    installed.api.create(f"/api/v1/namespaces/{namespace}/pods", pod, dryRun="All")


@pytest.mark.parametrize("name", ["cache-node", "cache-empty-dir", "s3-web-identity", "s3-node-role"])
def test_a_runner_is_admitted_under_the_restricted_standard(
    installed: Cluster, name: str, tmp_path: Path
) -> None:
    job = good_job(Rendered(name).read_settings(tmp_path), SERVED)
    installed.api.create(f"/api/v1/namespaces/{SERVED}/pods", pod_of(job), dryRun="All")


def test_the_api_server_finds_no_type_error_in_the_policies(installed: Cluster) -> None:
    """Its controller looks at each expression once, some time after the policy was made."""
    group = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
    for name in ("wan-operator-jobs", "wan-operator-videogenerations"):
        installed.control.kubectl(
            "wait", f"validatingadmissionpolicy/{name}", "--for=jsonpath={.status.observedGeneration}",
            "--timeout=60s",
        )  # fmt: skip
        checked = installed.api.get(f"{group}/{name}")["status"].get("typeChecking", {})
        assert checked.get("expressionWarnings", []) == []


def make_folder(parent: Path, owner: int) -> Path:
    """Run the init container's command with `parent` in the place of the node's folder."""
    container = Rendered().one("DaemonSet")["spec"]["template"]["spec"]["initContainers"][0]
    _, flag, script, folder, _ = container["command"]
    place = Path(folder.replace("/parent", str(parent)))
    subprocess.run([sys.executable, flag, script, str(place), str(owner)], check=True)
    return place


def test_the_folder_of_the_cache_is_made_for_the_runner_alone(tmp_path: Path) -> None:
    owner = 65532 if os.getuid() == 0 else os.getuid()
    place = make_folder(tmp_path, owner)
    assert place.stat().st_uid == owner
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert list(tmp_path.iterdir()) == [place]


def test_a_folder_that_is_there_keeps_what_it_holds(tmp_path: Path) -> None:
    place = make_folder(tmp_path, os.getuid())
    (place / "blob").write_text("weights")
    make_folder(tmp_path, os.getuid())
    assert (place / "blob").read_text() == "weights"


def test_a_maker_that_died_half_way_is_made_good(tmp_path: Path) -> None:
    (tmp_path / "cache.making").mkdir(mode=0o700)
    make_folder(tmp_path, os.getuid())
    assert [entry.name for entry in tmp_path.iterdir()] == ["cache"]
