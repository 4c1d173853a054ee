"""Each way into S3, tried on the real API server: its runner's Job is let through, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.conftest import Cluster
from tests.charts.jobs import VOLUME, good_job, spoilt, volume
from tests.charts.render import FOLDER, NAMESPACE, Rendered
from tests.charts.test_admission import JOBS, SERVED, is_refused
from tests.controlplane.client import Api
from tests.controlplane.process import wait_until

pytestmark = pytest.mark.slow

WAYS = ("s3-web-identity", "s3-pod-identity", "s3-node-role")


def job_of(name: str, folder: Path) -> dict[str, Any]:
    return good_job(Rendered(name).read_settings(folder), SERVED)


@pytest.fixture(scope="module", params=WAYS)
def installed(
    request: pytest.FixtureRequest, cluster: Cluster, tmp_path_factory: Any
) -> Iterator[tuple[str, Api]]:
    """The chart with these values, seen by the operator's account once its policy is in force."""
    name = request.param
    cluster.install(yaml.safe_load((FOLDER / f"{name}.yaml").read_text()))
    api = cluster.control.api_as(cluster.control.service_account_token(NAMESPACE, "wan-operator"))
    path, folder = JOBS.format(SERVED), tmp_path_factory.mktemp("settings")
    ours, by_secret = job_of(name, folder), job_of("minimal", folder)
    wait_until(
        lambda: is_refused(api, path, by_secret, VOLUME) and not is_refused(api, path, ours, VOLUME),
        60,
        f"the policy of {name} is not in force",
    )
    yield name, api
    api.close()
    cluster.install({})


def token(audience: str) -> dict[str, Any]:
    return {"projected": {"sources": [{"serviceAccountToken": {"path": "token", "audience": audience}}]}}


def test_the_job_of_this_way_is_let_through(installed: tuple[str, Api], tmp_path: Path) -> None:
    name, api = installed
    api.create(JOBS.format(SERVED), job_of(name, tmp_path), dryRun="All")


@pytest.mark.parametrize(
    ("named", "source"),
    [
        ("s3", {"secret": {"secretName": "wan-s3"}}),
        ("s3-token", token("https://kubernetes.default.svc")),
        ("s3-token", {"projected": {"sources": [{"secret": {"name": "db"}}]}}),
        ("s3-ca", {"secret": {"secretName": "db"}}),
        ("s3-ca", {"configMap": {"name": "settings"}}),
        ("s3-ca", {"hostPath": {"path": "/"}}),
    ],
    ids=["the Secret", "a token for the API server", "a Secret as token", "Secret", "ConfigMap", "the host"],
)
def test_what_this_way_does_not_need_is_refused(
    installed: tuple[str, Api], tmp_path: Path, named: str, source: dict[str, Any]
) -> None:
    name, api = installed
    bad = spoilt(job_of(name, tmp_path), volume(named, **source))
    assert is_refused(api, JOBS.format(SERVED), bad, VOLUME)
