"""The table of `decide`, second half: how attempts end, and how resources do. One case, one sentence."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.wan_operator.cases import UNSCHEDULABLE, Case, check
from tests.wan_operator.worlds import (
    OUTPUT,
    ended,
    failed,
    past,
    result_of,
    rungs_of,
    runs,
    then,
    waits,
    world_of,
    written,
)
from wan_core.api.status import AttemptStatus, Phase
from wan_core.errors import TABLE, Category

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
BY_HOST_MEMORY = sorted(rungs_of(world_of()), key=lambda rung: rung.memory.host_gib)
FRUGALEST, HUNGRIEST = (BY_HOST_MEMORY[i].plan.label for i in (0, -1))
SMALLEST = {
    quality: min(rungs_of(world_of(quality=quality)), key=lambda rung: rung.memory.peak_gib).plan.label
    for quality in ("lossless", "near")
}


def out_of_memory(plan: str) -> AttemptStatus:
    """On a GPU that the ladder knows: what needs as much or more fails there too."""
    return past(1, "Failed", Category.CUDA_OUT_OF_MEMORY, plan=plan)


ENDED = [
    Case("a verified video is success", world_of(ended(result=result_of())), Phase.SUCCEEDED, "Succeeded"),
    Case(
        "exit 0 without a Result is success, said so",
        world_of(ended()),
        Phase.SUCCEEDED,
        "Succeeded",
        [],
        "no digest",
    ),
    Case(
        "success counts although the pod was drained",
        world_of(ended(verdict=Category.INTERRUPTED)),
        Phase.SUCCEEDED,
        "Succeeded",
    ),
    Case(
        "exit 0 with a failing Result is our bug",
        world_of(ended(result=result_of(category=Category.NETWORK_ERROR))),
        Phase.FAILED,
        "InternalError",
    ),
    Case(
        "a Result about another Task is not believed",
        world_of(ended(result=result_of(task_digest="e" * 64))),
        Phase.FAILED,
        "IntegrityError",
    ),
    *[
        Case(
            f"{category.value} ends it, with advice",
            world_of(failed(1, category)),
            Phase.FAILED,
            TABLE[category].reason,
            message=f"it met {category.value}. {TABLE[category].advice}",
        )
        for category, row in TABLE.items()
        if not row.retryable and not row.other_plan
    ],
    Case(
        "advice of the runner's own goes before that of its category",
        world_of(
            ended(code=77, result=result_of(category=Category.ACCESS_DENIED, advice="Create the bucket."))
        ),
        Phase.FAILED,
        "AccessDenied",
        message="it met ACCESS_DENIED. Create the bucket.",
    ),
    Case(
        "who was denied access is told where the credentials come from",
        world_of(ended(code=77), settings={"credentials": "They are read from a Secret."}),
        Phase.FAILED,
        "AccessDenied",
        message="Check the S3 credentials and the bucket's policy. They are read from a Secret.",
    ),
    Case(
        "who met something else is not",
        world_of(failed(1, Category.MODEL_NOT_FOUND), settings={"credentials": "They are read."}),
        Phase.FAILED,
        "ModelNotFound",
        message=f"it met MODEL_NOT_FOUND. {TABLE[Category.MODEL_NOT_FOUND].advice}",
    ),
    Case(
        "CUDA out of memory leads to the next plan",
        world_of(failed(1, Category.CUDA_OUT_OF_MEMORY)),
        Phase.PLANNED,
        "PlanChosen",
        ["start 2"],
    ),
    Case(
        "after incompatible hardware no plan is tried on its like",
        world_of(failed(1, Category.INCOMPATIBLE_HARDWARE)),
        Phase.FAILED,
        "IncompatibleHardware",
        message=TABLE[Category.INCOMPATIBLE_HARDWARE].advice,
    ),
    Case(
        "after a host out of memory comes a plan that needs less of it",
        world_of(failed(1, Category.HOST_OUT_OF_MEMORY, plan=HUNGRIEST)),
        Phase.PLANNED,
        "PlanChosen",
        ["start 2"],
    ),
    Case(
        "where there is none it fails with advice",
        world_of(failed(1, Category.HOST_OUT_OF_MEMORY, plan=FRUGALEST)),
        Phase.FAILED,
        "HostOutOfMemory",
        message=TABLE[Category.HOST_OUT_OF_MEMORY].advice,
    ),
    Case(
        "when every plan ran out of memory the next lower quality is advised, with what it needs",
        world_of(status=written(out_of_memory(SMALLEST["lossless"])), quality="lossless"),
        Phase.FAILED,
        "CUDAOutOfMemory",
        message="Another plan could be tried with quality: near (t2v-1.3B/cuda/bf16+",
    ),
    Case(
        "where no quality is lower it says how little was tried",
        world_of(status=written(out_of_memory(SMALLEST["near"]))),
        Phase.FAILED,
        "CUDAOutOfMemory",
        message="The smallest plans need ",
    ),
    Case(
        "an exit code that is none of ours is our bug",
        world_of(ended(code=42)),
        Phase.FAILED,
        "InternalError",
    ),
    Case(
        "a container killed for its memory takes the next plan",
        world_of(ended(code=137, oom_killed=True, plan=HUNGRIEST)),
        Phase.PLANNED,
        "PlanChosen",
        ["start 2"],
    ),
    *[
        Case(
            f"exit {code} is an interruption",
            world_of(ended(code=code)),
            Phase.PLANNED,
            "PlanChosen",
            ["start 2"],
        )
        for code in (75, 137, 143, None)
    ],
    Case(
        "a drained pod is interrupted, whatever its exit code",
        world_of(ended(code=71, verdict=Category.INTERRUPTED)),
        Phase.PLANNED,
        "PlanChosen",
        ["start 2"],
    ),
    Case(
        "a Job that disappeared is attempted again",
        world_of(status=written(past(1, "Running"))),
        Phase.PLANNED,
        "PlanChosen",
        ["start 2"],
    ),
    Case(
        "the twentieth interruption is forgiven",
        world_of(status=written(*[past(n, "Interrupted") for n in range(1, 21)])),
        Phase.PLANNED,
        "PlanChosen",
        ["start 21"],
    ),
    Case(
        "the next one is not",
        world_of(status=written(*[past(n, "Interrupted") for n in range(1, 22)])),
        Phase.FAILED,
        "TooManyInterruptions",
    ),
    Case(
        "stopped and resumed without end, it ends",
        world_of(status=written(past(10_000, "Cancelled"))),
        Phase.FAILED,
        "TooManyInterruptions",
        [],
        "started 10000 times",
    ),
    Case(
        "a network error is tried again after a while",
        world_of(failed(1, Category.NETWORK_ERROR)),
        Phase.PLANNED,
        "BackOff",
    ),
    Case(
        "and no longer than that",
        world_of(failed(1, Category.NETWORK_ERROR, ago=5 * SECOND)),
        Phase.PLANNED,
        "PlanChosen",
        ["start 2"],
    ),
    Case(
        "a second network error waits longer",
        world_of(
            failed(2, Category.NETWORK_ERROR, ago=6 * SECOND),
            status=written(past(1, "Failed", Category.NETWORK_ERROR)),
        ),
        Phase.PLANNED,
        "BackOff",
    ),
    Case(
        "the last attempt allowed is the last",
        world_of(failed(1, Category.NETWORK_ERROR), fallback={"maxAttempts": 1}),
        Phase.FAILED,
        "NetworkError",
        message="All 1 attempts are used",
    ),
    Case(
        "a failed attempt is final although the resource is suspended",
        world_of(failed(1, Category.ACCESS_DENIED), suspend=True),
        Phase.FAILED,
        "AccessDenied",
    ),
    Case(
        "an attempt that has ended and was written is deleted",
        then(world_of(failed(1, Category.NETWORK_ERROR))),
        Phase.PLANNED,
        "BackOff",
        ["delete 1"],
    ),
]

STOPPED = [
    Case(
        "suspending stops the attempt", world_of(runs(), suspend=True), Phase.STARTING, "Stopping", ["stop 1"]
    ),
    Case("once only", world_of(runs(stopping=True), suspend=True), Phase.STARTING, "Stopping"),
    Case(
        "when it has ended the resource is suspended",
        then(world_of(runs(), suspend=True), attempts=(ended(code=75),)),
        Phase.SUSPENDED,
        "Suspended",
        ["delete 1"],
    ),
    Case(
        "resuming makes a new attempt",
        then(then(world_of(runs(), suspend=True), attempts=()), spec={"suspend": False}),
        Phase.PLANNED,
        "PlanChosen",
        ["start 2"],
    ),
    Case(
        "resuming waits for the stopped attempt to end",
        then(world_of(runs(), suspend=True), attempts=(runs(stopping=True),), spec={"suspend": False}),
        Phase.STARTING,
        "Stopping",
    ),
    Case(
        "cancelling stops the attempt", world_of(runs(), cancel=True), Phase.STARTING, "Stopping", ["stop 1"]
    ),
    Case(
        "when it has ended the resource is cancelled",
        then(world_of(runs(), cancel=True), attempts=(ended(code=75),)),
        Phase.CANCELLED,
        "Cancelled",
        ["delete 1"],
    ),
    Case(
        "a cancelled attempt that made its video all the same has succeeded",
        then(world_of(runs(), cancel=True), attempts=(ended(result=result_of()),)),
        Phase.SUCCEEDED,
        "Succeeded",
    ),
    Case(
        "an attempt that runs too long is stopped",
        world_of(runs(since=2 * HOUR), deadlines={"run": "1h30m"}),
        Phase.STARTING,
        "Stopping",
        ["stop 1"],
        "it ran longer than deadlines.run (1h30m)",
    ),
    Case(
        "and the resource fails once it has ended",
        then(world_of(runs(since=2 * HOUR), deadlines={"run": "1h"}), attempts=(ended(code=75),)),
        Phase.FAILED,
        "RunDeadlineExceeded",
        ["delete 1"],
    ),
    Case(
        "an attempt that never gets to run is stopped at the start deadline",
        world_of(waits(why=UNSCHEDULABLE), deadlines={"start": "1m"}),
        Phase.QUEUED,
        "Stopping",
        ["stop 1"],
        UNSCHEDULABLE[1],
    ),
    Case(
        "and the resource fails with what it waited for",
        then(world_of(waits(why=UNSCHEDULABLE), deadlines={"start": "1m"}), attempts=()),
        Phase.FAILED,
        "StartDeadlineExceeded",
        message=UNSCHEDULABLE[1],
    ),
    Case(
        "the start deadline does not count the time of a suspension",
        then(world_of(suspend=True, deadlines={"start": "30s"}), spec={"suspend": False}),
        Phase.PLANNED,
        "PlanChosen",
        ["start 1"],
    ),
    Case(
        "the start deadline is over once an attempt has run",
        world_of(status=written(past(1, "Interrupted")), deadlines={"start": "30s"}),
        Phase.PLANNED,
        "PlanChosen",
        ["start 2"],
    ),
    Case(
        "an attempt of a finished resource is stopped",
        world_of(runs(), status=written(phase=Phase.FAILED, reason="NodeLost")),
        Phase.FAILED,
        "NodeLost",
        ["stop 1"],
    ),
    Case(
        "what is left of a finished resource's attempts is deleted",
        then(world_of(ended(result=result_of()))),
        Phase.SUCCEEDED,
        "Succeeded",
        ["delete 1"],
    ),
    Case(
        "a finished resource stays as it is, whatever its spec now says",
        world_of(
            status=written(phase=Phase.SUCCEEDED, reason="Succeeded", output=OUTPUT),
            cancel=True,
            suspend=True,
        ),
        Phase.SUCCEEDED,
        "Succeeded",
    ),
]


@pytest.mark.parametrize("case", [*ENDED, *STOPPED], ids=lambda case: case.says)
def test_case(case: Case) -> None:
    check(case)
