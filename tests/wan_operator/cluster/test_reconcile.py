"""One resource through its life, as the API server sees it: which calls are made, and what is told."""

from __future__ import annotations

import pytest

from tests.wan_operator.cluster.api_server import failure
from tests.wan_operator.cluster.stage import (
    JOBS,
    KEY,
    NODES,
    PODS,
    RUNNING,
    VIDEOS,
    Stage,
    ended,
    node,
    on_stage,
    pod_of,
    video,
)
from wan_operator.cluster.refusals import Unavailable

QUOTA = 'jobs.batch "corgi" is forbidden: exceeded quota: few, requested: count/jobs.batch=1'


def test_a_new_resource_gets_its_job_and_its_status_in_one_go() -> None:
    async def act(it: Stage) -> None:
        looked = await it.look()

        assert it.take_calls() == ["post jobs", "patch corgi/status"]
        assert looked.written
        assert it.status["attempts"][0]["outcome"] == "Running"
        assert it.status["observedGeneration"] == 1
        owner = it.job()["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("VideoGeneration", "uid-1", True)

    on_stage(act)


def test_without_news_nothing_is_written() -> None:
    async def act(it: Stage) -> None:
        await it.settle()
        it.take_calls()
        await it.see()
        looked = await it.look()

        assert it.take_calls() == []
        assert not looked.written

    on_stage(act)


@pytest.mark.parametrize("seen", [True, False], ids=["its Job is seen", "its Job is not seen yet"])
def test_an_operator_that_died_between_job_and_status_makes_no_second_job(seen: bool) -> None:
    async def act(it: Stage) -> None:
        it.server.refuse = lambda method, path: failure(500, "", "down") if path.endswith("/status") else None
        with pytest.raises(Unavailable):
            await it.look()
        it.server.refuse = lambda method, path: None
        jobs = dict(it.server.objects[JOBS])
        it.renew()
        if not seen:
            it.server.objects[JOBS].clear()
        await it.see()
        it.server.objects[JOBS] = jobs
        it.take_calls()
        await it.look()

        again = [] if seen else ["post jobs", f"get jobs/{it.jobs[0]}"]
        assert it.take_calls() == [*again, "patch corgi/status"]
        assert len(it.jobs) == 1
        assert [a["job"] for a in it.status["attempts"]] == it.jobs

    on_stage(act)


def test_a_job_of_somebody_else_under_that_name_is_told_and_left_alone() -> None:
    async def act(it: Stage) -> None:
        await it.look()
        name = it.jobs[0]
        it.server.objects[JOBS].clear()
        it.server.put(VIDEOS, video())  # as it was before
        it.server.put(JOBS, {"metadata": {"name": name}})
        it.renew()
        await it.see()
        await it.look()

        assert it.status["reason"] == "JobRefused"
        assert "another's" in it.status["message"]
        assert it.status["attempts"] == []
        assert it.jobs == [name]

    on_stage(act)


@pytest.mark.parametrize(
    ("code", "reason", "words"),
    [
        pytest.param(403, "Forbidden", QUOTA, id="a quota"),
        pytest.param(422, "Invalid", "ValidatingAdmissionPolicy 'jobs' denied request: no", id="a policy"),
        pytest.param(500, "", "etcdserver: request is too large", id="too large"),
    ],
)
def test_a_job_that_is_refused_is_told_verbatim_and_tried_again(code: int, reason: str, words: str) -> None:
    async def act(it: Stage) -> None:
        it.server.refuse = lambda method, path: failure(code, reason, words) if method == "post" else None
        looked = await it.look()

        assert (it.status["reason"], it.status["message"]) == ("JobRefused", words)
        running = next(c for c in it.status["conditions"] if c["type"] == "Running")
        assert (running["status"], running["message"]) == ("False", words)
        assert looked.again_s is not None

        await it.see()
        it.take_calls()
        again = await it.look()
        assert "patch corgi/status" not in it.take_calls()  # the same story is not written twice
        assert again.again_s is not None
        assert again.again_s > looked.again_s

        it.server.refuse = lambda method, path: None
        await it.look()
        assert it.status["reason"] != "JobRefused"
        assert len(it.jobs) == 1

    on_stage(act)


def test_while_the_api_server_is_down_nothing_is_told() -> None:
    async def act(it: Stage) -> None:
        it.server.refuse = lambda method, path: failure(503, "", "down")
        with pytest.raises(Unavailable):
            await it.look()
        assert it.status == {}

    on_stage(act)


def test_a_video_that_is_made_ends_the_story_and_its_job_is_tidied_up() -> None:
    async def act(it: Stage) -> None:
        await it.settle()
        it.server.put(PODS, ended(it.job()))
        await it.see()
        looked = await it.look()
        assert it.status["phase"] == "Succeeded"
        assert len(it.jobs) == 1  # its end had to be written first
        assert looked.again_s == 0

        await it.look()
        assert it.jobs == []
        await it.see()
        it.take_calls()
        await it.look()
        assert it.take_calls() == []

    on_stage(act)


def test_an_operator_that_died_before_tidying_up_tidies_up() -> None:
    async def act(it: Stage) -> None:
        await it.settle()
        it.server.put(PODS, ended(it.job()))
        await it.see()
        await it.look()
        it.renew()
        await it.settle()
        assert it.jobs == []
        assert it.status["phase"] == "Succeeded"

    on_stage(act)


def test_while_a_resource_is_being_deleted_its_job_goes_and_nothing_is_written() -> None:
    async def act(it: Stage) -> None:
        await it.settle()
        it.server.objects[VIDEOS]["corgi"]["metadata"]["deletionTimestamp"] = "2026-01-01T13:00:00Z"
        it.server.put(VIDEOS, it.server.objects[VIDEOS]["corgi"])
        await it.see()
        it.take_calls()
        await it.look()
        assert [call.split()[0] for call in it.take_calls()] == ["delete"]
        await it.look()
        assert it.take_calls() == []

    on_stage(act)


def test_a_request_that_cannot_be_read_fails_with_its_path() -> None:
    async def act(it: Stage) -> None:
        await it.settle()
        assert (it.status["phase"], it.status["reason"]) == ("Failed", "InvalidInput")
        assert "spec.frames" in it.status["message"]
        assert it.jobs == []

    on_stage(act, frames="many")


def test_a_status_that_somebody_edited_is_written_anew_and_the_attempt_goes_on() -> None:
    async def act(it: Stage) -> None:
        await it.settle()
        it.server.put(VIDEOS, {**it.server.objects[VIDEOS]["corgi"], "status": {"phase": "Dancing"}})
        await it.settle()
        assert [a["outcome"] for a in it.status["attempts"]] == ["Running"]
        assert len(it.jobs) == 1

    on_stage(act)


def test_why_a_job_has_no_pod_is_told_in_the_words_of_its_event() -> None:
    words = 'pods "corgi" is forbidden: violates PodSecurity "restricted:latest"'

    async def act(it: Stage) -> None:
        await it.look()  # the server says that the Job was made long ago
        job = it.job()
        event = {"reason": "FailedCreate", "message": words, "lastTimestamp": "2026-01-01T12:00:00Z"}
        about = {"metadata": {"name": "e"}, "involvedObject": {"uid": job["metadata"]["uid"]}, **event}
        it.server.put("/api/v1/namespaces/films/events", about)
        it.renew()
        await it.see()
        looked = await it.look()
        assert it.status["message"] == words
        assert looked.again_s is not None

        it.server.put(PODS, pod_of(job, phase="Running", containerStatuses=[RUNNING]))
        await it.settle()
        assert words not in it.status["message"]

    on_stage(act)


def test_what_waits_for_a_node_is_remembered_until_one_joins() -> None:
    async def act(it: Stage) -> None:
        await it.settle()
        assert it.status["reason"] == "NoPlanFits"
        assert it.parts.reconciler.unplaced == {KEY}

        it.server.put(NODES, node("cpu-2"))
        await it.settle()
        assert len(it.jobs) == 1
        assert it.parts.reconciler.unplaced == set()

    on_stage(act, node(ready=False))
