"""What is seen of a living attempt: where it stands, what it waits for, when to look again."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.wan_operator.cluster.documents import RUNNING, at, creating, job_document, pod_document
from tests.wan_operator.cluster.observing import READY, SILENT, Document, facts_of, observe
from tests.wan_operator.worlds import NOW
from wan_operator.cluster.attempts import observe_attempts, unexplained
from wan_operator.world import AttemptState


def test_a_pod_that_runs_is_running_on_its_node() -> None:
    attempt, again = observe(job_document(), pod_document(state=RUNNING))
    assert (attempt.state, attempt.started, attempt.node) == (AttemptState.RUNNING, at(40), "gpu-1")
    assert (attempt.pod, attempt.stopping, again) == ("corgi-0000-1-abcde", False, None)


@pytest.mark.parametrize(
    ("job", "pods"),
    [
        pytest.param(
            job_document(deleting=True), [pod_document(state=RUNNING)], id="its Job is being deleted"
        ),
        pytest.param(None, [pod_document(state=RUNNING)], id="its Job is gone"),
        pytest.param(job_document(), [pod_document(state=RUNNING, told=1)], id="its pod is being deleted"),
        pytest.param(job_document(deleting=True), [], id="its Job is being deleted and has no pod"),
    ],
)
def test_an_attempt_on_its_way_out_is_stopping(job: Document | None, pods: list[Document]) -> None:
    attempt, _ = observe(job, *pods)
    assert (attempt.lives, attempt.stopping) == (True, True)


def test_the_words_of_a_refusal_are_those_of_its_event() -> None:
    text = 'pods "corgi" is forbidden: exceeded quota: gpus'
    attempt, _ = observe(job_document(), explanations={"job-uid-1": text})
    assert (attempt.waiting, attempt.state) == (("PodRefused", text), AttemptState.PENDING)


def test_the_words_of_a_volume_that_cannot_be_mounted_are_those_of_its_event() -> None:
    text = 'persistentvolumeclaim "wan-cache" not found'
    pod = pod_document(phase="Pending", state=creating())
    attempt, _ = observe(job_document(), pod, explanations={"pod-uid-1": text})
    assert attempt.waiting == ("FailedMount", text)


def test_a_mount_that_failed_once_says_nothing_about_a_running_pod() -> None:
    attempt, _ = observe(job_document(), pod_document(state=RUNNING), explanations={"pod-uid-1": "x"})
    assert attempt.waiting is None


WHEN = [
    pytest.param(job_document(ago=5), [], READY, at(-10), id="a new Job gets 15 s to have a pod"),
    pytest.param(job_document(ago=20), [], READY, None, id="then its events are asked for"),
    pytest.param(job_document(ago=5, end="Complete"), [], READY, None, id="but not of an ended one"),
    pytest.param(
        job_document(),
        [pod_document(phase="Pending", state=creating(), ago=5)],
        READY,
        at(-10),
        id="a new pod",
    ),
    pytest.param(
        job_document(),
        [pod_document(state=RUNNING, told=100, grace=60)],
        SILENT,
        at(-20),
        id="abandoned soon",
    ),
    pytest.param(
        job_document(), [pod_document(state=RUNNING, told=100, grace=60)], READY, None, id="the node answers"
    ),
]


@pytest.mark.parametrize(("job", "pods", "nodes", "again"), WHEN)
def test_when_the_clock_alone_would_change_it(
    job: Document, pods: list[Document], nodes: dict[str, bool], again: datetime | None
) -> None:
    assert observe(job, *pods, nodes=nodes)[1] == again


@pytest.mark.parametrize(
    ("job", "pods", "uids"),
    [
        pytest.param(job_document(ago=14), [], [], id="too early"),
        pytest.param(job_document(ago=15), [], ["job-uid-1"], id="a Job without a pod"),
        pytest.param(job_document(ago=15, end="Failed"), [], [], id="an ended Job"),
        pytest.param(job_document(deleting=True), [], [], id="a Job that is being deleted"),
        pytest.param(
            job_document(),
            [pod_document(phase="Pending", state=creating(), ago=15)],
            ["pod-uid-1"],
            id="a pod whose volumes hang",
        ),
        pytest.param(
            job_document(),
            [pod_document(phase="Pending", state=creating("ErrImagePull", "x"), ago=15)],
            [],
            id="a pod that says why",
        ),
        pytest.param(job_document(), [pod_document(state=RUNNING)], [], id="a pod that runs"),
    ],
)
def test_what_hangs_without_a_word_is_asked_about(
    job: Document, pods: list[Document], uids: list[str]
) -> None:
    jobs, found = facts_of([job], pods)
    assert [fact.uid for fact in unexplained(jobs, found, NOW)] == uids


def test_attempts_come_in_the_order_of_their_numbers() -> None:
    jobs, pods = facts_of([job_document(n) for n in (10, 2, 1)], [pod_document(3, state=RUNNING)])
    attempts, _ = observe_attempts(jobs, pods, READY, {}, NOW)
    assert [attempt.number for attempt in attempts] == [1, 2, 3, 10]
