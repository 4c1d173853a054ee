"""The admission policies, tried on the real API server with the operator's own account."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.charts.conftest import Cluster
from tests.charts.jobs import CPU_NODE, SPOILS, Spoil, good_job, pod, runner, spoilt, volume
from tests.charts.render import NAMESPACE, Rendered
from tests.controlplane.client import Api, ApiError
from tests.controlplane.process import wait_until

pytestmark = pytest.mark.slow

SERVED = "wan-video"
JOBS = "/apis/batch/v1/namespaces/{}/jobs"
VIDEOS = "/apis/wan.video/v1alpha1/namespaces/{}/videogenerations"
POD_TEMPLATE = {
    "spec": {
        "runtimeClassName": "nvidia",
        "volumes": [{"name": "ca", "configMap": {"name": "ca-bundle"}}],
        "containers": [{"name": "runner", "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}],
    }
}
WITH_TEMPLATE = {"runner": {"podTemplate": POD_TEMPLATE, "priorityClassNames": ["rush"]}}


def job(namespace: str = SERVED, **spec: Any) -> dict[str, Any]:
    """As the operator makes it with the chart's own settings."""
    with TemporaryDirectory() as folder:
        return good_job(Rendered().read_settings(Path(folder)), namespace, **spec)


def video(name: str = "corgi", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "wan.video/v1alpha1",
        "kind": "VideoGeneration",
        "metadata": {"name": name, **metadata},
        "spec": {"model": "wan-tiny", "prompt": "a red circle moving right"},
    }


def is_refused(api: Api, path: str, document: dict[str, Any], message: str) -> bool:
    """Whether the API server refuses it in these words; a policy takes a moment to be in force."""
    try:
        api.create(path, document, dryRun="All")
    except ApiError as refusal:
        return message in refusal.message
    return False


def wait_for_policies(cluster: Cluster, operator: Api, namespace: str = SERVED) -> None:
    spoil, message = SPOILS["another image"]
    bad, path = spoilt(job(namespace), spoil), JOBS.format(namespace)
    wait_until(lambda: is_refused(operator, path, bad, message), 120, "the policy for Jobs is not in force")
    wait_until(
        lambda: is_refused(cluster.api, VIDEOS.format("default"), video(), "is not served"),
        60,
        "the policy for VideoGenerations is not in force",
    )


@pytest.fixture(scope="module")
def operator(cluster: Cluster) -> Iterator[Api]:
    """The API server, seen by the operator's account."""
    cluster.install({})
    api = cluster.control.api_as(cluster.control.service_account_token(NAMESPACE, "wan-operator"))
    wait_for_policies(cluster, api)
    yield api
    api.close()


@pytest.mark.parametrize(
    "spec",
    [{}, {"model": "wan-tiny", "inventory": CPU_NODE}, {"deadlines": {"run": "1h"}}],
    ids=["on a GPU", "on a CPU", "with a deadline"],
)
def test_the_operator_may_create_a_runner(operator: Api, spec: dict[str, Any]) -> None:
    operator.create(JOBS.format(SERVED), job(**spec), dryRun="All")


@pytest.mark.parametrize(("spoil", "message"), SPOILS.values(), ids=SPOILS)
def test_the_operator_may_create_nothing_else(operator: Api, spoil: Spoil, message: str) -> None:
    with pytest.raises(ApiError) as refused:
        operator.create(JOBS.format(SERVED), spoilt(job(), spoil), dryRun="All")
    assert refused.value.status == 422
    assert message in refused.value.message


def test_the_operator_has_no_rights_where_it_does_not_serve(operator: Api) -> None:
    with pytest.raises(ApiError) as refused:
        operator.create(JOBS.format("default"), job("default"), dryRun="All")
    assert refused.value.status == 403


def test_jobs_of_others_are_their_own_affair(cluster: Cluster, operator: Api) -> None:
    spoil, _ = SPOILS["another image"]
    cluster.api.create(JOBS.format(SERVED), spoilt(job(), spoil), dryRun="All")


def test_a_video_in_a_served_namespace_is_welcome(cluster: Cluster, operator: Api) -> None:
    cluster.api.create(VIDEOS.format(SERVED), video(), dryRun="All")


def test_a_video_elsewhere_is_refused_and_told_where_to_go(cluster: Cluster, operator: Api) -> None:
    with pytest.raises(ApiError) as refused:
        cluster.api.create(VIDEOS.format("default"), video(), dryRun="All")
    assert refused.value.status == 403
    assert "namespace default is not served by wan-operator; these are: wan-video" in refused.value.message


@pytest.mark.parametrize(
    "annotations",
    [{"a": "x" * 131_071}, {f"k{n}": "y" * 120 for n in range(1000)}, {"a": "é" * 100_000}],
    ids=["one long", "many short", "long in bytes, not in characters"],
)
def test_annotations_may_be_as_long_as_a_request(
    cluster: Cluster, operator: Api, annotations: dict[str, str]
) -> None:
    cluster.api.create(VIDEOS.format(SERVED), video(annotations=annotations), dryRun="All")


@pytest.mark.parametrize(
    "annotations",
    [{"a": "x" * 262_100}, {f"k{n}": "y" * 200 for n in range(1000)}, {f"{n:x}": "" for n in range(50_000)}],
    ids=["one long", "many short", "many empty"],
)
def test_annotations_beyond_that_are_refused(
    cluster: Cluster, operator: Api, annotations: dict[str, str]
) -> None:
    with pytest.raises(ApiError) as refused:
        cluster.api.create(VIDEOS.format(SERVED), video(annotations=annotations), dryRun="All")
    assert refused.value.status == 422
    assert "metadata.annotations holds more than 1000 entries or 131072 characters" in refused.value.message


def managed(fields: dict[str, Any]) -> list[dict[str, Any]]:
    """What anybody may claim about who owns which fields."""
    entry = {"manager": "tests", "operation": "Apply", "apiVersion": "wan.video/v1alpha1"}
    return [{**entry, "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields}]


TOO_MUCH: dict[str, dict[str, Any]] = {
    "labels": {"labels": {f"{n}.example.com/{'k' * 63}": "v" * 63 for n in range(2000)}},
    "finalizers": {"finalizers": [f"{n}.{'a' * 60}.{'b' * 60}.com/{'k' * 63}" for n in range(2000)]},
    "owners": {"ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "n" * 200_000, "uid": "u"}]},
    "managed fields": {"managedFields": managed({"f:spec": {f"f:x{n}": {} for n in range(20_000)}})},
}


@pytest.mark.parametrize("metadata", TOO_MUCH.values(), ids=TOO_MUCH)
def test_metadata_that_would_fill_the_operators_memory_is_refused(
    cluster: Cluster, operator: Api, metadata: dict[str, Any]
) -> None:
    with pytest.raises(ApiError) as refused:
        cluster.api.create(VIDEOS.format(SERVED), video(**metadata), dryRun="All")
    assert refused.value.status == 422
    assert "metadata has more than 196608 characters" in refused.value.message


@pytest.fixture(scope="module")
def operator_with_pod_template(cluster: Cluster, operator: Api) -> Iterator[Api]:
    cluster.install(WITH_TEMPLATE)
    rushed = spoilt(job(), pod(priorityClassName="rush"))
    refusal = SPOILS["a priority class"][1]
    path = JOBS.format(SERVED)
    wait_until(
        lambda: not is_refused(operator, path, rushed, refusal), 120, "the old policy is still in force"
    )
    yield operator
    cluster.install({})


@pytest.mark.parametrize(
    "spoil",
    [
        pod(runtimeClassName="nvidia"),
        volume("ca", configMap={"name": "ca-bundle"}),
        runner(lifecycle={"preStop": {"sleep": {"seconds": 1}}}),
        pod(priorityClassName="rush"),
    ],
    ids=["runtime class", "volume", "hook", "priority class"],
)
def test_what_the_pod_template_names_is_allowed(operator_with_pod_template: Api, spoil: Spoil) -> None:
    operator_with_pod_template.create(JOBS.format(SERVED), spoilt(job(), spoil), dryRun="All")


def test_a_runner_with_that_pod_template_is_allowed(operator_with_pod_template: Api, tmp_path: Path) -> None:
    settings = Rendered(**WITH_TEMPLATE).read_settings(tmp_path)
    made = good_job(settings, SERVED, scheduling={"priorityClassName": "rush"})
    assert made["spec"]["template"]["spec"]["runtimeClassName"] == "nvidia"
    operator_with_pod_template.create(JOBS.format(SERVED), made, dryRun="All")


@pytest.mark.parametrize(
    "source",
    [{"configMap": {"name": "other"}}, {"secret": {"secretName": "ca-bundle"}}, {"hostPath": {"path": "/"}}],
    ids=["another object", "another type", "the host"],
)
def test_its_volumes_are_allowed_as_they_stand_there(
    operator_with_pod_template: Api, source: dict[str, Any]
) -> None:
    bad = spoilt(job(), volume("ca", **source))
    with pytest.raises(ApiError, match="a volume that is not a runner's"):
        operator_with_pod_template.create(JOBS.format(SERVED), bad, dryRun="All")
