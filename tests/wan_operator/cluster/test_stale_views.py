"""What the watches have not told yet, or tell no more: before harm is done the API server itself is asked."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from tests.wan_operator.cluster.api_server import failure
from tests.wan_operator.cluster.stage import (
    JOBS,
    KEY,
    PODS,
    RUNNING,
    VIDEOS,
    Stage,
    ended,
    on_stage,
    pod_of,
    video,
)
from wan_operator.cluster.inventories import OCCUPANCY_S, Inventories
from wan_operator.cluster.names import ATTEMPT_LABEL
from wan_operator.cluster.reconcile import StaleView
from wan_operator.cluster.refusals import Conflict, Forbidden

END_OF = {0: "Complete", 12: "Failed"}


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
        pod = pod_of(job, phase="Running", containerStatuses=[RUNNING])
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


def test_what_its_own_pod_took_until_just_now_does_not_count_against_it() -> None:
    async def act(it: Stage) -> None:
        await it.settle()
        running = pod_of(it.job(), phase="Running", containerStatuses=[RUNNING])
        (container,) = running["spec"]["containers"]
        resources = container["resources"] | {"requests": {"cpu": "3", "memory": "100Gi"}}
        spec = running["spec"] | {"containers": [container | {"resources": resources}]}
        it.server.put(PODS, {**running, "spec": spec})
        await it.settle()
        inventories = Inventories(it.parts.objects, it.parts.settings, lambda: 0.0)
        it.parts.reconciler.inventories = inventories
        counted = inventories.occupied()
        assert counted != inventories.capacity()

        it.server.put(PODS, {**ended(it.job()), "spec": spec})
        await it.see()
        it.parts.reconciler.inventories.pods_changed()
        assert inventories.occupied() is counted  # for the second
        await it.look()
        assert it.status["phase"] == "Succeeded"
        assert "FitsLater" not in {rung["verdict"] for rung in it.status["ladder"]}

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


def later_and_ended(job: dict[str, Any]) -> dict[str, Any]:
    """The Job of the second attempt, once it has failed."""
    metadata = {
        "name": job["metadata"]["name"].removesuffix("1") + "2",
        "labels": job["metadata"]["labels"] | {ATTEMPT_LABEL: "2"},
        "ownerReferences": job["metadata"]["ownerReferences"],
    }
    return {**job, "metadata": metadata, "status": {"conditions": [{"type": "Failed", "status": "True"}]}}
