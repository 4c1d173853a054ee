"""The Job on a real API server with a real scheduler: admitted, and placed where the plan says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from tests.controlplane.client import ApiError
from tests.controlplane.commands import Options
from tests.controlplane.control_plane import ControlPlane
from tests.controlplane.process import wait_until
from tests.wan_operator.cluster.documents import GPU_TAINT, H200, RTX4090, V100, settings_of
from tests.wan_operator.cluster.jobs import inventory_of, rungs_on, task_of
from tests.wan_operator.worlds import spec_of
from wan_core.api.crd import dump_crd
from wan_core.api.status import Metadata
from wan_core.plan.choose import Exclusion
from wan_operator.cluster.job import build_job
from wan_operator.pod_shape import carry

pytestmark = pytest.mark.slow

NAMESPACE = "films"
VIDEOS = f"/apis/wan.video/v1alpha1/namespaces/{NAMESPACE}/videogenerations"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
L40S = RTX4090 | {"nvidia.com/gpu.product": "NVIDIA-L40S", "nvidia.com/gpu.memory": "46068"}
SHARED = H200 | {"nvidia.com/gpu.replicas": "4", "nvidia.com/gpu.sharing-strategy": "time-slicing"}
SILENT_NODES = Options(node_grace_s=3600)
LABELS = {"big": H200, "middle": L40S, "small": RTX4090, "shared": SHARED, "old": V100}


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("control"), SILENT_NODES) as control:
        definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        control.api.create(definitions, yaml.safe_load(dump_crd()))
        control.namespace(NAMESPACE)
        account = {"metadata": {"name": "wan-runner"}}
        control.api.create(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", account)
        for name, labels in LABELS.items():
            add_node(control, name, labels)
        wait_until(lambda: is_served(control), 120, "the CRD is not served")
        yield control


def is_served(control: ControlPlane) -> bool:
    """Whether resources can be made: a new CRD answers 404 and 429 at first."""
    try:
        return control.api.list(VIDEOS) == []
    except ApiError as refusal:
        if refusal.status not in (404, 429):
            raise
        return False


def add_node(control: ControlPlane, name: str, labels: Mapping[str, str]) -> None:
    """A node that is ready and full of room; nothing will ever run there."""
    room = {"cpu": "64", "memory": "1Ti", "pods": "110", "ephemeral-storage": "1Ti", "nvidia.com/gpu": "1"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    status = {"capacity": room, "allocatable": room, "conditions": [ready]}
    metadata = {"name": name, "labels": labels}
    control.api.create("/api/v1/nodes", {"metadata": metadata, "spec": {"taints": [GPU_TAINT]}})
    path = f"/api/v1/nodes/{name}"
    control.api.patch(f"{path}/status", {"status": status})
    wait_until(lambda: control.api.get(path)["spec"]["taints"] == [GPU_TAINT], 120, f"{name} stays tainted")


def attempt(control: ControlPlane, name: str, excluded: tuple[str, ...] = (), **spec: Any) -> dict[str, Any]:
    """The Job of a new resource; `excluded` products have failed before."""
    wanted = spec_of(**spec)
    manifest = {"apiVersion": "wan.video/v1alpha1", "kind": "VideoGeneration", "metadata": {"name": name}}
    fields = {"model": wanted.model, "prompt": wanted.prompt}
    made = control.api.create(VIDEOS, manifest | {"spec": fields})
    metadata = Metadata.model_validate(made["metadata"])
    inventory = inventory_of(*control.api.list("/api/v1/nodes"))
    rungs = carry(rungs_on(inventory, **spec), inventory, wanted.scheduling.gpu_products)
    exclusions = tuple(Exclusion(plan=r.plan.label, product=p) for r in rungs for p in excluded)
    task = task_of(rungs, exclusions, wanted).model_copy(update={"uid": metadata.uid, "name": name})
    return control.api.create(JOBS, build_job(metadata, task, settings_of(), wanted))


def placed(control: ControlPlane, job: dict[str, Any]) -> str | None:
    """The node of its pod."""
    pods = control.api.list(PODS, labelSelector=f"wan.video/uid={job['metadata']['labels']['wan.video/uid']}")
    return pods[0]["spec"].get("nodeName") if pods else None


def end(control: ControlPlane, job: dict[str, Any]) -> None:
    """Nothing of it is left; its node is empty again."""
    uid = job["metadata"]["labels"]["wan.video/uid"]
    control.api.delete(f"{JOBS}/{job['metadata']['name']}")
    left = f"wan.video/uid={uid}"
    control.api.request("DELETE", PODS, {"gracePeriodSeconds": 0}, query={"labelSelector": left})
    wait_until(lambda: not control.api.list(PODS, labelSelector=left), 120, "its pod stays")


GIVEN = ["NVIDIA GeForce RTX 4090", "NVIDIA-L40S"]
WHERE = {
    "large": ((), {"model": "t2v-A14B"}, "big"),
    "preferred": ((), {"model": "t2v-A14B", "scheduling": {"gpuProducts": GIVEN}}, "middle"),
    "failed": (("NVIDIA-H200", "NVIDIA-L40S"), {"model": "t2v-1.3B"}, "small"),
    "asked": ((), {"model": "t2v-1.3B", "scheduling": {"gpuProducts": GIVEN[:1]}}, "small"),
}


@pytest.mark.parametrize("name", WHERE)
def test_the_scheduler_places_it_where_the_plan_says(control: ControlPlane, name: str) -> None:
    excluded, spec, node = WHERE[name]
    job = attempt(control, name, excluded, **spec)
    try:
        wait_until(lambda: placed(control, job) is not None, 120, "its pod is not placed")
        assert placed(control, job) == node
    finally:
        end(control, job)


PRODUCTS = ("NVIDIA-H200", "NVIDIA-L40S", "NVIDIA-GeForce-RTX-4090")


def test_shared_and_old_gpus_are_never_taken(control: ControlPlane) -> None:
    job = attempt(control, "nowhere", PRODUCTS, model="t2v-1.3B")
    selector = f"wan.video/uid={job['metadata']['labels']['wan.video/uid']}"

    def refused() -> str:
        (pod, *_) = control.api.list(PODS, labelSelector=selector) or [{"status": {}}]
        conditions = pod["status"].get("conditions", ())
        return next((c["message"] for c in conditions if c["type"] == "PodScheduled"), "")

    wait_until(lambda: "0/5 nodes are available" in refused(), 120, "the scheduler says nothing")
    assert placed(control, job) is None
    end(control, job)
