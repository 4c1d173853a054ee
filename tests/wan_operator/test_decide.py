"""The table of `decide`, first half: new resources, and attempts that live. One case, one sentence."""

from __future__ import annotations

import pytest

from tests.wan_operator.cases import UNSCHEDULABLE, Case, check
from tests.wan_operator.worlds import (
    BEST,
    NO_NODES,
    past,
    reports,
    runs,
    then,
    waits,
    world_of,
    written,
)
from wan_core.api.status import Phase
from wan_core.task import Stage

NO_IMAGE = ("ErrImagePull", "rpc error: not found")
I2V = {"model": "ti2v-5B", "image": "s3://inputs/corgi.png"}
EMOJI = {"prompt": "🐕" * 8192, "negative_prompt": "🐕" * 8192}
PRIORITY = {"scheduling": {"priorityClassName": "mine"}}
LOCAL = {"inventory_may_grow": False}


NEW = [
    Case(
        "a new resource is planned and attempted", world_of(), Phase.PLANNED, "PlanChosen", ["start 1"], BEST
    ),
    Case(
        "a resource that cannot be read fails with every problem",
        world_of(problems=("spec.a: wrong", "spec.b: wrong")),
        Phase.FAILED,
        "InvalidInput",
        message="spec.a: wrong; spec.b: wrong",
    ),
    Case(
        "an unknown model is invalid",
        world_of(model="t3v-9000B"),
        Phase.FAILED,
        "InvalidInput",
        message="t3v-9000B",
    ),
    Case(
        "an unknown fallback model is invalid",
        world_of(fallback={"models": ["nope-1B"]}),
        Phase.FAILED,
        "InvalidInput",
        message="nope-1B",
    ),
    Case(
        "frames that the model cannot do are invalid",
        world_of(frames=82),
        Phase.FAILED,
        "InvalidInput",
        [],
        "82",
    ),
    Case(
        "a model that cannot run yet says so",
        world_of(**(I2V | {"model": "s2v-14B"})),
        Phase.FAILED,
        "ModelCannotRun",
    ),
    Case(
        "an image in a bucket that is not allowed is refused",
        world_of(settings={"image_buckets": ("pictures",)}, **I2V),
        Phase.FAILED,
        "InvalidInput",
        message='bucket "inputs" may not hold input images; allowed: pictures',
    ),
    Case(
        "an image in an allowed bucket is taken",
        world_of(settings={"image_buckets": ("inputs",)}, **I2V),
        Phase.PLANNED,
        "PlanChosen",
        ["start 1"],
    ),
    Case(
        "a priority class that is not allowed is refused, with those that are",
        world_of(settings={"priority_class_names": ("low", "high")}, **PRIORITY),
        Phase.FAILED,
        "InvalidInput",
        message='spec.scheduling.priorityClassName: "mine" may not be used; allowed: low, high',
    ),
    Case(
        "an allowed priority class is taken",
        world_of(settings={"priority_class_names": ("mine",)}, **PRIORITY),
        Phase.PLANNED,
        "PlanChosen",
        ["start 1"],
    ),
    Case(
        "a request that no Job can carry is invalid",
        world_of(fallback={"models": ["t2v-A14B"]}, **EMOJI),
        Phase.FAILED,
        "InvalidInput",
        message="65536 bytes",
    ),
    Case(
        "a request that fits nothing waits for a node",
        world_of(inventory=NO_NODES),
        Phase.PENDING,
        "NoPlanFits",
    ),
    Case(
        "a request that fits nothing fails where no node can join",
        world_of(inventory=NO_NODES, settings=LOCAL),
        Phase.FAILED,
        "NoPlanFits",
    ),
    Case(
        "a node that joins is used",
        then(world_of(inventory=NO_NODES), inventory=world_of().inventory),
        Phase.PLANNED,
        "PlanChosen",
        ["start 1"],
    ),
    Case(
        "a suspended resource is planned, not attempted", world_of(suspend=True), Phase.SUSPENDED, "Suspended"
    ),
    Case(
        "a resource cancelled before its start is cancelled",
        world_of(cancel=True),
        Phase.CANCELLED,
        "Cancelled",
    ),
    Case("cancel comes before suspend", world_of(cancel=True, suspend=True), Phase.CANCELLED, "Cancelled"),
    Case(
        "a start deadline that passes while nothing fits ends it, with what it waited for",
        world_of(inventory=NO_NODES, deadlines={"start": "60s"}),
        Phase.FAILED,
        "StartDeadlineExceeded",
        message="no attempt ran within deadlines.start (60s)",
    ),
]

LIVING = [
    Case("a pod without a node is queued", world_of(waits()), Phase.QUEUED, "Starting"),
    Case(
        "the scheduler's words stand as they are",
        world_of(waits(why=UNSCHEDULABLE)),
        Phase.QUEUED,
        *UNSCHEDULABLE[:1],
        message=UNSCHEDULABLE[1],
    ),
    Case(
        "so do the registry's",
        world_of(waits(node="a", why=NO_IMAGE)),
        Phase.STARTING,
        "ErrImagePull",
        [],
        NO_IMAGE[1],
    ),
    Case("a running attempt without a report is starting", world_of(runs()), Phase.STARTING, "Starting"),
    Case(
        "a report of an earlier attempt does not speak for this one",
        world_of(runs(2), status=written(past(1, "Interrupted")), progress=reports(number=1)),
        Phase.STARTING,
        "Starting",
    ),
    Case(
        "a Job that the status does not know is adopted, not doubled",
        world_of(runs(), progress=reports()),
        Phase.RUNNING,
        "Denoising",
    ),
    Case(
        "after a restart of the operator the phase is what it was",
        then(world_of(runs(), progress=reports(Stage.UPLOADING)), progress=None),
        Phase.UPLOADING,
        "Starting",
    ),
    Case(
        "of two living attempts the older is stopped",
        world_of(runs(1), runs(2), progress=reports(number=2)),
        Phase.RUNNING,
        "Denoising",
        ["stop 1"],
    ),
    Case(
        "a better plan that was refused is named",
        world_of(runs(), progress=reports(refused=("resident: needs 90 GiB",))),
        Phase.RUNNING,
        "Denoising",
        message="better plans refused: resident: needs 90 GiB",
    ),
    *[
        Case(
            f"a runner at {stage.value} shows as {phase.value}",
            world_of(runs(), progress=reports(stage)),
            phase,
            stage.value,
        )
        for stage, phase in {
            Stage.STARTING: Phase.STARTING,
            Stage.FETCHING: Phase.LOADING,
            Stage.LOADING: Phase.LOADING,
            Stage.ENCODING_TEXT: Phase.RUNNING,
            Stage.DENOISING: Phase.RUNNING,
            Stage.DECODING: Phase.RUNNING,
            Stage.ENCODING_VIDEO: Phase.RUNNING,
            Stage.UPLOADING: Phase.UPLOADING,
        }.items()
    ],
]


@pytest.mark.parametrize("case", [*NEW, *LIVING], ids=lambda case: case.says)
def test_case(case: Case) -> None:
    check(case)
