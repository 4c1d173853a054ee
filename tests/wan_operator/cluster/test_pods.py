"""Jobs and pods as facts: what is ours, what is read off, and what is not believed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_operator.cluster.documents import (
    RUNNING,
    annotations_of,
    at,
    creating,
    job_document,
    labels_of,
    pod_document,
    terminated,
)
from tests.wan_operator.worlds import DIGEST, UID, result_of
from wan_core.task import RESULT_MAX_BYTES
from wan_operator.cluster.names import PART_LABELS
from wan_operator.cluster.pods import read_job, read_pod, read_result

PLANS = tuple(annotations_of()["wan.video/plans"].split())


def test_a_job_of_ours_is_read() -> None:
    job = read_job(job_document(2, ago=30))
    assert job is not None
    assert (job.owner_uid, job.owner_name, job.attempt) == (UID, "corgi", 2)
    assert (job.plans, job.task_digest, job.created) == (PLANS, DIGEST, at(30))
    assert (job.end, job.deleting, job.story) == ("", None, "")


def test_how_a_job_ended_is_read() -> None:
    job = read_job(job_document(end="Failed", why="BackoffLimitExceeded"))
    assert job is not None
    assert (job.end, job.ended, job.story) == ("Failed", at(5), "BackoffLimitExceeded")


OTHER_OWNER = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "c", "uid": "u", "controller": True}
NO_CONTROLLER = {"apiVersion": "wan.video/v1alpha1", "kind": "VideoGeneration", "name": "c", "uid": "u"}


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"ownerReferences": []}, id="nobody's"),
        pytest.param({"ownerReferences": [OTHER_OWNER]}, id="somebody else's"),
        pytest.param({"ownerReferences": [NO_CONTROLLER]}, id="owned, but not controlled"),
        pytest.param({"labels": {}}, id="without labels"),
        *[
            pytest.param(
                {"labels": {"wan.video/uid": UID, "wan.video/attempt": text}}, id=f"attempt {text!r}"
            )
            for text in ("", "0", "-1", "one", "1e3", "²", "123456")
        ],
    ],
)
def test_a_job_that_is_no_attempt_is_passed_over(metadata: dict[str, Any]) -> None:
    assert read_job(job_document(**metadata)) is None


def test_a_job_that_was_orphaned_is_known_by_its_labels() -> None:
    labels = labels_of(2) | PART_LABELS | {"wan.video/name": "corgi"}
    job = read_job(job_document(2, ownerReferences=[], labels=labels))
    assert job is not None
    assert (job.owner_uid, job.owner_name, job.attempt) == ("", "corgi", 2)


def test_a_running_pod_of_ours_is_read() -> None:
    pod = read_pod(pod_document(3, state=RUNNING))
    assert (pod.owner_uid, pod.attempt, pod.node, pod.job) == (UID, 3, "gpu-1", "corgi-0000-3")
    assert (pod.started, pod.exit_code, pod.waiting, pod.ended) == (at(40), None, None, False)
    assert (pod.plans, pod.task_digest) == (PLANS, DIGEST)


def test_of_a_pod_of_others_only_its_room_is_read() -> None:
    document = pod_document(state=terminated(1, message="{}"))
    document["metadata"]["labels"] = {"app": "other"}
    pod = read_pod(document)
    assert (pod.owner_uid, pod.attempt, pod.exit_code, pod.node) == ("", 0, None, "gpu-1")


def test_when_a_pod_was_told_to_end_is_its_deletion_less_its_grace() -> None:
    pod = read_pod(pod_document(told=10, grace=60))
    assert (pod.told, pod.deleting) == (at(10), at(-50))


UNSCHEDULABLE = {"status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}
GATED = {"status": "False", "reason": "SchedulingGated", "message": "gated by kueue"}
BACK_OFF = ("ImagePullBackOff", 'Back-off pulling image "x"')


@pytest.mark.parametrize(
    ("document", "waiting"),
    [
        pytest.param(pod_document(phase="Pending", node=None), None, id="no word yet"),
        pytest.param(
            pod_document(phase="Pending", node=None, conditions={"PodScheduled": UNSCHEDULABLE}),
            ("Unschedulable", "0/3 nodes are available"),
            id="the scheduler's words",
        ),
        pytest.param(
            pod_document(phase="Pending", node=None, conditions={"PodScheduled": GATED}),
            ("SchedulingGated", "gated by kueue"),
            id="a gate",
        ),
        pytest.param(
            pod_document(phase="Pending", state=creating()), ("ContainerCreating", ""), id="being created"
        ),
        *[
            pytest.param(
                pod_document(phase="Pending", state=creating(reason, text)), (reason, text), id=reason
            )
            for reason, text in (
                BACK_OFF,
                ("ErrImagePull", "not found"),
                ("InvalidImageName", "couldn't parse image name"),
                ("CreateContainerConfigError", 'secret "x" not found'),
                ("CreateContainerError", "context deadline exceeded"),
            )
        ],
        pytest.param(
            pod_document(phase="Pending", state={"waiting": {}}), ("ContainerCreating", ""), id="no reason"
        ),
        pytest.param(pod_document(state=RUNNING), None, id="it runs"),
    ],
)
def test_what_a_pod_waits_for_stands_in_the_words_of_the_platform(
    document: dict[str, Any], waiting: tuple[str, str] | None
) -> None:
    assert read_pod(document).waiting == waiting


def test_a_result_is_read_off_the_termination_message() -> None:
    result = result_of(1)
    pod = read_pod(pod_document(phase="Succeeded", state=terminated(0, message=result.to_message())))
    assert pod.result == result


BAD = [
    pytest.param("", id="nothing"),
    pytest.param("Killed", id="a word"),
    pytest.param("{}", id="no fields"),
    pytest.param("null", id="null"),
    pytest.param(json.dumps({"uid": UID, "attempt": 1, "taskDigest": DIGEST, "more": 1}), id="more fields"),
    pytest.param(json.dumps({"uid": UID, "attempt": 1, "task_digest": DIGEST}), id="our own spelling"),
    pytest.param(json.dumps({"uid": UID, "attempt": 0, "taskDigest": DIGEST}), id="attempt 0"),
    pytest.param(
        json.dumps({"uid": UID, "attempt": 1, "taskDigest": DIGEST, "category": "X"}), id="category"
    ),
    pytest.param("[" * 4000, id="deep"),
    pytest.param(result_of(1).to_message() + " " * RESULT_MAX_BYTES, id="too long"),
    pytest.param("\ud800", id="a lone surrogate"),
]


@pytest.mark.parametrize("text", BAD)
def test_a_bad_result_is_none(text: str) -> None:
    assert read_result(text) is None


@given(st.text())
def test_no_termination_message_is_an_exception(text: str) -> None:
    assert read_result(text) is None


def test_ten_thousand_pods_stay_small() -> None:
    pods = [read_pod(pod_document(state=RUNNING)) for _ in range(2)]
    assert pods[0].plans[0] is pods[1].plans[0]
    assert pods[0].node is pods[1].node
    assert not hasattr(pods[0], "__dict__")
