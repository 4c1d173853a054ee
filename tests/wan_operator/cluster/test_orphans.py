"""A Job outlives its resource in no way: nobody who may delete the one may delete the other."""

from __future__ import annotations

import pytest

from tests.wan_operator.cluster.stage import JOBS, VIDEOS, Stage, on_stage, video
from wan_operator.cluster.reconcile import StaleView


@pytest.mark.parametrize("again", [False, True], ids=["gone for good", "created again"])
def test_a_job_that_was_orphaned_is_deleted(again: bool) -> None:
    async def act(it: Stage) -> None:
        await it.look()
        name = it.jobs[0]
        it.server.objects[VIDEOS].clear()
        it.server.objects[JOBS][name]["metadata"].pop("ownerReferences")
        it.renew()
        if again:
            it.server.put(VIDEOS, {**video(suspend=True), "metadata": video()["metadata"] | {"uid": "uid-2"}})
        await it.see()
        it.take_calls()
        await it.look()
        await it.see()
        await it.look()

        assert it.take_calls() == [f"delete jobs/{name}", *(["patch corgi/status"] if again else [])]
        assert it.jobs == []

    on_stage(act)


@pytest.mark.parametrize("again", [False, True], ids=["gone for good", "created again"])
def test_the_job_of_a_deleted_resource_does_not_wait_for_the_garbage_collector(again: bool) -> None:
    async def act(it: Stage) -> None:
        await it.look()
        await it.see()
        (name,) = it.jobs
        it.server.objects[VIDEOS].clear()
        if again:
            it.server.put(VIDEOS, {**video(suspend=True), "metadata": video()["metadata"] | {"uid": "uid-2"}})
        await it.see()
        assert it.parts.queue.depth == 1
        it.take_calls()
        await it.look()

        assert it.take_calls() == [f"delete jobs/{name}", *(["patch corgi/status"] if again else [])]

    on_stage(act)


def test_a_job_that_was_made_while_its_resource_was_deleted_is_deleted_too() -> None:
    async def act(it: Stage) -> None:
        it.server.objects[VIDEOS].clear()
        with pytest.raises(StaleView):
            await it.look()
        (name,) = it.jobs
        it.server.put(JOBS, it.server.objects[JOBS][name])  # its controller makes its pod
        await it.see()
        it.take_calls()
        await it.look()

        assert it.take_calls() == [f"delete jobs/{name}"]

    on_stage(act)
