"""Installing, upgrading, uninstalling and installing again, on the real API server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.charts.conftest import Cluster
from tests.charts.test_admission import VIDEOS, video
from tests.controlplane.client import Api, ApiError
from tests.controlplane.process import wait_until

pytestmark = pytest.mark.slow

SERVED = "wan-video"
CLAIM = f"/api/v1/namespaces/{SERVED}/persistentvolumeclaims/wan-cache"
ACCOUNT = f"/api/v1/namespaces/{SERVED}/serviceaccounts/wan-runner"
VIDEO = f"{VIDEOS.format(SERVED)}/corgi"


@pytest.fixture
def installed(cluster: Cluster) -> Iterator[Cluster]:
    """The chart with its default values, and one video."""
    cluster.install({})
    served = VIDEOS.format(SERVED)
    wait_until(lambda: created(cluster, served), 120, "the resource is not served")
    yield cluster
    cluster.install({})
    cluster.api.delete(VIDEO)


def created(cluster: Cluster, path: str) -> bool:
    """Whether corgi is there now. A new CustomResourceDefinition takes a moment."""
    try:
        cluster.api.create(path, video())
    except ApiError as refusal:
        if refusal.status not in (404, 409, 429):
            raise
        return refusal.status == 409
    return True


def uid(cluster: Cluster, path: str) -> str:
    return str(cluster.api.get(path)["metadata"]["uid"])


def test_the_claim_of_the_cache_is_bound_to_its_volume(installed: Cluster) -> None:
    wait_until(lambda: installed.api.get(CLAIM)["status"]["phase"] == "Bound", 120, "the claim is not bound")
    assert installed.api.get(CLAIM)["spec"]["volumeName"] == "wan-cache-wan-video"


def test_an_upgrade_that_changes_nothing_changes_nothing(installed: Cluster) -> None:
    def versions() -> dict[str, str]:
        paths = [
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/videogenerations.wan.video",
            "/api/v1/namespaces/wan-system/configmaps/wan-operator",
            ACCOUNT,
        ]
        return {path: installed.api.get(path)["metadata"]["resourceVersion"] for path in paths}

    before = versions()
    installed.install({})
    assert versions() == before


def test_an_uninstall_keeps_videos_and_what_they_run_with_and_an_install_takes_them_over(
    installed: Cluster,
) -> None:
    kept = [VIDEO, CLAIM, ACCOUNT, f"/api/v1/namespaces/{SERVED}"]
    before = {path: uid(installed, path) for path in kept}
    installed.uninstall()
    assert {path: uid(installed, path) for path in kept} == before
    assert not installed.api.exists(
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{SERVED}/roles/wan-operator"
    )
    installed.install({})
    assert {path: uid(installed, path) for path in kept} == before
    assert installed.api.exists(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{SERVED}/roles/wan-operator")


def test_a_namespace_that_is_served_no_longer_keeps_its_videos_and_they_may_still_be_changed(
    installed: Cluster,
) -> None:
    installed.install({"generations": {"namespaces": ["films"]}})
    wait_until(lambda: is_unserved(installed), 120, "the policy still serves the namespace")
    installed.api.patch(VIDEO, {"spec": {"cancel": True}})
    assert installed.api.get(VIDEO)["spec"]["cancel"]
    assert not installed.api.exists(
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{SERVED}/roles/wan-operator"
    )


def is_unserved(cluster: Cluster) -> bool:
    try:
        cluster.api.create(VIDEOS.format(SERVED), video("another"), dryRun="All")
    except ApiError as refusal:
        return "namespace wan-video is not served by wan-operator; these are: films" in refusal.message
    return False


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "kubectl -n wan-video create secret generic wan-s3 --from-file=credentials"),
        ({}, "wan weights publish wan-tiny s3://weights/wan-tiny"),
        ({}, "kubectl -n wan-video apply -f examples/tiny.yaml"),
        (
            {"s3": {"credentials": "webIdentity", "webIdentity": {"roleArn": "arn:aws:iam::1:role/wan"}}},
            "Let the role arn:aws:iam::1:role/wan be taken by these, for the audience sts.amazonaws.com:\n\n"
            "  system:serviceaccount:wan-video:wan-runner",
        ),
        ({"s3": {"credentials": "podIdentity"}}, "Associate an S3 role with the service account wan-runner"),
        ({"s3": {"credentials": "nodeRole"}}, "as the node that they are on"),
        ({"s3": {"caBundle": {"name": "roots"}}}, "the ConfigMap roots with the key ca.crt"),
        ({"cache": {"type": "claim"}}, "a PersistentVolumeClaim called wan-cache"),
        ({"generations": {"create": False}}, "pod-security.kubernetes.io/enforce=restricted"),
    ],
    ids=[
        "secret",
        "first model",
        "first video",
        "web identity",
        "pod identity",
        "node",
        "authority",
        "claim of yours",
        "namespaces of yours",
    ],
)
def test_the_notes_tell_the_next_command(cluster: Cluster, values: dict[str, object], said: str) -> None:
    assert said in cluster.install(values, "--dry-run").partition("NOTES:")[2]


@pytest.fixture
def user(installed: Cluster) -> Iterator[Api]:
    """The API server, seen by somebody bound to wan-video-user."""
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": "default"}
    installed.install({"generations": {"users": [subject]}})
    api = installed.control.api_as(installed.control.service_account_token("default", "default"))
    wait_until(lambda: api.may_list(VIDEOS.format(SERVED)), 120, "the binding is not in force")
    yield api
    api.close()


def test_a_user_has_videos_and_nothing_else(user: Api) -> None:
    user.create(VIDEOS.format(SERVED), video("another"), dryRun="All")
    for kind in ("api/v1/secrets", "api/v1/pods", "api/v1/configmaps", "apis/batch/v1/jobs"):
        group, _, plural = kind.rpartition("/")
        assert not user.may_list(f"/{group}/namespaces/{SERVED}/{plural}")
    assert not user.may_list(VIDEOS.format("default"))
