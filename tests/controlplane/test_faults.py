"""How the fault proxy reads requests, and which of them a refusal meets."""

from __future__ import annotations

import json
from random import Random

import pytest

from tests.controlplane.faults import WRITES, Asked, Faults, Refusal, error_event, read_request

JOBS = "/apis/batch/v1/namespaces/films/jobs"
VIDEOS = "/apis/wan.video/v1alpha1/namespaces/films/videogenerations"


@pytest.mark.parametrize(
    ("method", "path", "query", "asked"),
    [
        ("GET", "/readyz", "", Asked("get")),
        ("GET", "/api/v1", "", Asked("get")),
        ("GET", "/apis/batch/v1", "", Asked("get")),
        ("GET", "/api/v1/nodes", "", Asked("list", "nodes")),
        ("GET", "/api/v1/nodes/a", "", Asked("get", "nodes", name="a")),
        ("GET", "/api/v1/pods", "watch=true&resourceVersion=7", Asked("watch", "pods")),
        ("GET", "/api/v1/pods", "watch=false", Asked("list", "pods")),
        ("GET", "/api/v1/namespaces", "", Asked("list", "namespaces")),
        ("GET", "/api/v1/namespaces/films", "", Asked("get", "namespaces", name="films")),
        ("POST", JOBS, "", Asked("create", "jobs", "films")),
        ("GET", JOBS, "watch=1", Asked("watch", "jobs", "films")),
        ("DELETE", f"{JOBS}/a", "", Asked("delete", "jobs", "films", "a")),
        (
            "PATCH",
            f"{VIDEOS}/v/status",
            "force=true",
            Asked("patch", "videogenerations", "films", "v", "status"),
        ),
        ("PUT", f"{VIDEOS}/v", "", Asked("update", "videogenerations", "films", "v")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_request_is_read_as_the_api_server_reads_it(method: str, path: str, query: str, asked: Asked):
    assert read_request(method, path, query) == asked


@pytest.mark.parametrize(
    ("asked", "weighs"),
    [
        (Asked("create", "jobs"), True),
        (Asked("patch", "videogenerations", subresource="status"), True),
        (Asked("list", "jobs"), False),
        (Asked("create", "events"), False),
        (Asked("create", "tokenreviews"), False),
        (Asked("create"), False),
    ],
    ids=str,
)
def test_a_write_weighs_if_a_controllers_progress_depends_on_it(asked: Asked, weighs: bool):
    assert asked.weighs is weighs


def test_a_refusal_meets_its_verbs_and_resources_only():
    faults = Faults(refusals=(Refusal(409, verbs=WRITES, resources=frozenset({"jobs"})),))
    asked = (Asked("create", "jobs"), Asked("list", "jobs"), Asked("create", "pods"))
    assert [bool(faults.refusal(each, Random(1))) for each in asked] == [True, False, False]


def test_a_fraction_is_a_fraction():
    faults = Faults(refusals=(Refusal(500, 0.3),))
    chance = Random(1)
    refused = sum(faults.refusal(Asked("get"), chance) is not None for _ in range(10_000))
    assert 2_800 < refused < 3_200


def test_an_error_event_is_one_line_that_carries_its_code():
    line = error_event(410)
    assert line.count(b"\n") == 1
    assert json.loads(line)["object"]["reason"] == "Expired"
