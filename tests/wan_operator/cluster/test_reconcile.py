"""One resource through its life, as the API server sees it: which calls are made, and what is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import pytest

from tests.wan_operator.cluster.api_server import failure
from tests.wan_operator.cluster.stage import (
    JOBS,
    KEY,
    NODES,
    PODS,
    VIDEOS,
    Stage,
    ended,
    node,
    pod_of,
    stage,
    video,
)
from wan_operator.cluster.inventories import OCCUPANCY_S, Inventories
from wan_operator.cluster.names import ATTEMPT_LABEL
from wan_operator.cluster.reconcile import StaleView
from wan_operator.cluster.refusals import Conflict, Forbidden, Unavailable

END_OF = {0: "Complete", 12: "Failed"}
Act = Callable[[Stage], Awaitable[Any]]
QUOTA = 'jobs.batch "corgi" is forbidden: exceeded quota: few, requested: count/jobs.batch=1'


def on_stage(act: Act, *nodes: dict[str, Any], **spec: Any) -> None:
    async def main() -> None:
        async with stage(*nodes, **spec) as it:
            await act(it)

    asyncio.run(main())


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


def test_a_status_is_not_written_over_a_later_version() -> None:
    async def act(it: Stage) -> None:
        it.server.put(VIDEOS, video(suspend=True))
        with pytest.raises(StaleView):
            await it.look()
        assert it.status == {}
        await it.look()  # the store has been mended
        assert it.status["reason"] == "Suspended"

    on_stage(act, suspend=True)


def test_a_conflict_that_is_not_ours_to_mend_is_passed_on() -> None:
    async def act(it: Stage) -> None:
        it.server.refuse = lambda method, path: (
            failure(409, "Conflict", "no") if path.endswith("/status") else None
        )
        with pytest.raises(Conflict):
            await it.look()

    on_stage(act)


def test_a_resource_that_is_gone_by_now_is_forgotten() -> None:
    async def act(it: Stage) -> None:
        it.server.remove(VIDEOS, "corgi")
        with pytest.raises(StaleView):
            await it.look()
        assert it.parts.objects.video(KEY) is None
        assert not (await it.look()).written

    on_stage(act)


def test_a_successor_of_the_same_name_does_not_take_its_predecessors_status() -> None:
    async def act(it: Stage) -> None:
        it.server.remove(VIDEOS, "corgi", tell=False)
        successor = video()
        successor["metadata"]["uid"] = "uid-2"
        it.server.put(VIDEOS, successor)
        with pytest.raises(StaleView):
            await it.look()
        assert it.status == {}
        await it.look()
        assert it.parts.objects.uid_of(KEY) == "uid-2"
        assert len(it.jobs) == 1  # the first one's was deleted

    on_stage(act)


def test_a_job_that_is_only_unseen_is_not_believed_gone() -> None:
    async def act(it: Stage) -> None:
        await it.settle()
        jobs = it.server.objects[JOBS]
        it.renew()
        it.server.objects[JOBS] = {}
        await it.see()
        it.server.objects[JOBS] = jobs
        it.take_calls()
        with pytest.raises(StaleView):
            await it.look()
        assert it.take_calls() == [f"get jobs/{it.jobs[0]}"]
        assert not (await it.look()).written

    on_stage(act)


def test_a_job_that_is_gone_is_an_interruption_and_the_next_attempt_starts() -> None:
    async def act(it: Stage) -> None:
        await it.settle()
        it.server.remove(JOBS, it.jobs[0])
        await it.settle()

        assert [a["outcome"] for a in it.status["attempts"]] == ["Interrupted", "Running"]
        assert it.status["interruptions"] == 1
        assert [name.endswith("-2") for name in it.jobs] == [True]

    on_stage(act)


@pytest.mark.parametrize("code", [0, 12])
def test_the_end_of_a_job_whose_pod_is_only_unseen_is_told_by_the_pod(code: int) -> None:
    async def act(it: Stage) -> None:
        await it.settle()
        job = it.job()
        it.server.put(JOBS, {**job, "status": {"conditions": [{"type": END_OF[code], "status": "True"}]}})
        await it.see()
        it.server.put(PODS, ended(job, code))
        await it.look()

        (first, *_) = it.status["attempts"]
        assert first["outcome"] == ("Failed" if code else "Succeeded")
        assert first["node"] == "cpu-1"

    on_stage(act)


def test_a_job_that_ended_and_whose_pod_is_gone_is_an_interruption() -> None:
    async def act(it: Stage) -> None:
        await it.settle()
        it.server.put(JOBS, {**it.job(), "status": {"conditions": [{"type": "Failed", "status": "True"}]}})
        await it.settle()
        lists = sum(request.path == PODS for request in it.server.requests)
        await it.look()

        assert [a["outcome"] for a in it.status["attempts"]] == ["Interrupted", "Running"]
        assert sum(request.path == PODS for request in it.server.requests) == lists  # it was asked once

    on_stage(act)


def test_a_pod_whose_end_was_read_takes_nothing_any_more_though_the_watch_has_no_news_of_it() -> None:
    async def act(it: Stage) -> None:
        await it.settle()
        job, uid = it.job(), {"uid": "pod-1"}
        pod = pod_of(job, phase="Running", containerStatuses=[running()])
        it.server.put(PODS, {**pod, "metadata": pod["metadata"] | uid})
        it.server.put(JOBS, later_and_ended(job))
        await it.see()
        clock = count(step=2 * OCCUPANCY_S).__next__
        inventories = Inventories(it.parts.objects, it.parts.settings, clock)
        it.parts.reconciler.inventories = inventories
        assert inventories.occupied() != inventories.capacity()

        it.server.put(PODS, {**ended(job), "metadata": pod["metadata"] | uid})
        await it.look()  # the later Job's pod was not seen: all pods are read
        assert inventories.occupied() == inventories.capacity()

    on_stage(act)


def test_while_the_pods_of_a_job_that_ended_cannot_be_read_nothing_is_concluded() -> None:
    async def act(it: Stage) -> None:
        await it.settle()
        it.server.put(JOBS, {**it.job(), "status": {"conditions": [{"type": "Failed", "status": "True"}]}})
        await it.see()
        it.server.refuse = lambda method, path: failure(403, "Forbidden", "no") if path == PODS else None
        with pytest.raises(Forbidden):
            await it.look()
        assert [a["outcome"] for a in it.status["attempts"]] == ["Running"]

    on_stage(act)


def test_an_attempt_of_a_resource_with_a_history_is_not_started_on_an_old_view() -> None:
    async def act(it: Stage) -> None:
        await it.settle()
        it.server.remove(JOBS, it.jobs[0])
        await it.see()
        latest = it.server.objects[VIDEOS]["corgi"]
        it.server.put(VIDEOS, {**latest, "spec": {**latest["spec"], "cancel": True}})
        it.take_calls()
        with pytest.raises(StaleView):
            await it.look()
        assert "post jobs" not in it.take_calls()

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

        it.server.put(PODS, pod_of(job, phase="Running", containerStatuses=[running()]))
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


def later_and_ended(job: dict[str, Any]) -> dict[str, Any]:
    """The Job of the second attempt, once it has failed."""
    metadata = {
        "name": job["metadata"]["name"].removesuffix("1") + "2",
        "labels": job["metadata"]["labels"] | {ATTEMPT_LABEL: "2"},
        "ownerReferences": job["metadata"]["ownerReferences"],
    }
    return {**job, "metadata": metadata, "status": {"conditions": [{"type": "Failed", "status": "True"}]}}


def running() -> dict[str, Any]:
    return {"name": "runner", "state": {"running": {"startedAt": "2026-01-01T12:00:00Z"}}}
