"""An administrator's own models, from the settings to the Task; models that no runner has."""

from __future__ import annotations

from typing import Any

import pytest

from tests.wan_operator.cluster.stage import settings_of
from tests.wan_operator.worlds import NO_NODES, world_of
from wan_core.catalog.models import MODELS
from wan_core.catalog.own import load_catalog
from wan_core.plan.inventory import Inventory, Node
from wan_core.task import Task
from wan_operator.cluster.job import disk_mib
from wan_operator.cluster.reconcile import world_settings
from wan_operator.jobs import build_task
from wan_operator.ladders import find_ladder
from wan_operator.planning import Planned, Rejected, plan_request
from wan_operator.reasons import Reason
from wan_operator.world import World

CATALOGUE = """
models:
  - {id: shapes-2, base: wan-tiny, title: more shapes, defaults: {frames: 9, steps: 4}}
  - {id: corgi-5B, base: ti2v-5B, title: corgis}
"""
OWN = {**MODELS, **load_catalog(CATALOGUE, "own.yaml")}
LAPTOP = Inventory(nodes=(Node(name="laptop", gpus=(), host_memory_gib=16),))


def world_with(models: Any = OWN, **spec: Any) -> World:
    return world_of(inventory=LAPTOP, settings={"models": models}, **spec)


def task_of(world: World) -> Task:
    planned = plan_request(world)
    assert isinstance(planned, Planned), planned
    return build_task(world, planned.requests, planned.ladder.runnable, (), 1)


def test_an_own_model_is_planned_as_its_base_with_its_own_defaults() -> None:
    planned = plan_request(world_with(model="shapes-2"))
    assert isinstance(planned, Planned)
    assert {rung.plan.model for rung in planned.ladder.runnable} == {"shapes-2"}
    assert (planned.requests[0].frames, planned.requests[0].steps) == (9, 4)


def test_the_task_says_whose_architecture_an_own_model_has() -> None:
    task = Task.model_validate(task_of(world_with(model="shapes-2")).to_dict())
    assert task.bases == {"shapes-2": "wan-tiny"}
    assert task.architecture_of("shapes-2") is MODELS["wan-tiny"]


def test_the_task_of_a_model_of_the_catalogue_says_nothing_more_than_before() -> None:
    task = task_of(world_with(model="wan-tiny"))
    assert "bases" not in task.to_dict()
    assert task.architecture_of("wan-tiny") is MODELS["wan-tiny"]


def test_an_own_model_may_be_a_fallback() -> None:
    planned = plan_request(world_with(model="wan-tiny", fallback={"models": ["shapes-2"]}))
    assert isinstance(planned, Planned)
    assert [request.model for request in planned.requests] == ["wan-tiny", "shapes-2"]


def test_without_the_settings_that_name_it_an_own_model_is_unknown() -> None:
    rejected = plan_request(world_with(MODELS, model="shapes-2"))
    assert isinstance(rejected, Rejected)
    assert rejected.problems[0].startswith('spec.model: "shapes-2" is not in the catalogue')


def test_ladders_of_two_models_of_one_name_are_kept_apart() -> None:
    planned = plan_request(world_with(model="corgi-5B", image="s3://inputs/a.png", quality="near"))
    assert isinstance(planned, Planned)
    other = {**MODELS, **load_catalog("models: [{id: corgi-5B, base: t2v-1.3B, title: x}]", "other.yaml")}
    mine, theirs = (find_ladder(planned.requests, NO_NODES, models=models) for models in (OWN, other))
    assert mine.rungs[0].memory != theirs.rungs[0].memory


def test_settings_hold_own_models_and_a_pod_has_disk_for_their_weights() -> None:
    entries = [{"id": "shapes-2", "base": "wan-tiny", "title": "more shapes"}]
    settings = settings_of(models=entries)
    assert world_settings(settings).models["shapes-2"].weights_of == "wan-tiny"
    assert set(world_settings(settings).models) == {*MODELS, "shapes-2"}
    own, known = (task_of(world_with(model=model)) for model in ("shapes-2", "wan-tiny"))
    assert disk_mib(own, settings) == disk_mib(known, settings)


def test_a_model_of_another_architecture_cannot_run_and_what_can_is_named() -> None:
    rejected = plan_request(
        world_of(model="stabilityai/stable-video-diffusion-img2vid-xt", image="s3://inputs/a.png")
    )
    assert isinstance(rejected, Rejected)
    assert rejected.reason == Reason.MODEL_CANNOT_RUN
    assert rejected.message.startswith("spec.model: svd-xt cannot run: it is a U-Net")
    assert rejected.message.endswith("nearest: ti2v-5B, i2v-A14B")


@pytest.mark.parametrize("index", [0, 1])
def test_a_fallback_of_another_architecture_is_refused(index: int) -> None:
    models = ["ti2v-5B", "t2v-A14B"]
    models[index] = "animatediff"
    rejected = plan_request(world_of(fallback={"models": models}))
    assert isinstance(rejected, Rejected)
    assert rejected.problems[0].startswith(f"spec.fallback.models[{index}]: animatediff cannot run")
