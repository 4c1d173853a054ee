"""Worlds for the tests of `decide`: small builders, every value that a test does not name being ordinary."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from wan_core.api.spec import Spec
from wan_core.api.status import AttemptStatus, Metadata, OutputStatus, Phase, Status
from wan_core.errors import TABLE, Category
from wan_core.plan.inventory import Gpu, Inventory, Node
from wan_core.plan.rungs import Rung
from wan_core.task import Progress, Result, Stage
from wan_operator.decide import decide
from wan_operator.planning import Planned, plan_request
from wan_operator.world import (
    Action,
    AttemptState,
    Decision,
    DeleteAttempt,
    Observed,
    Settings,
    StartAttempt,
    StopAttempt,
    World,
)

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
CREATED = NOW - timedelta(minutes=1)
UID = "7a1c0f5e-0000-4000-8000-000000000001"
DIGEST = "d" * 64
H100 = "NVIDIA H100 80GB HBM3"
GPU_NODES = Inventory(nodes=(Node(name="a", gpus=(Gpu(product=H100, memory_gib=80),), host_memory_gib=512),))
NO_NODES = Inventory()
OUTPUT = OutputStatus(
    uri="s3://v/x/video.mp4", sha256="ab", bytes=9, width=832, height=480, frames=17, fps=16
)


def spec_of(**fields: Any) -> Spec:
    """A request for the smallest official model, which has several plans on one H100."""
    return Spec.model_validate({"model": "t2v-1.3B", "prompt": "a corgi", "quality": "near"} | fields)


def world_of(
    *attempts: Observed,
    status: Status | None = None,
    progress: Progress | None = None,
    inventory: Inventory = GPU_NODES,
    problems: tuple[str, ...] = (),
    settings: dict[str, Any] | None = None,
    generation: int = 1,
    **spec: Any,
) -> World:
    """A world with these attempts, for a request with these fields."""
    return World(
        metadata=Metadata(name="corgi", uid=UID, generation=generation, creation_timestamp=CREATED),
        spec=None if problems else spec_of(**spec),
        problems=problems,
        status=status or Status(),
        inventory=inventory,
        settings=Settings(**({"weights": "s3://weights", "output": "s3://videos"} | (settings or {}))),
        attempts=attempts,
        progress=progress,
    )


def rungs_of(world: World) -> tuple[Rung, ...]:
    """The plans of this world that fit, best first."""
    planned = plan_request(world)
    assert isinstance(planned, Planned)
    return planned.ladder.runnable


BEST = rungs_of(world_of())[0].plan.label


def waits(
    number: int = 1, *, node: str | None = None, why: tuple[str, str] | None = None, **more: Any
) -> Observed:
    """An attempt whose pod does not run yet."""
    return Observed(
        number, f"job-{number}", AttemptState.PENDING, (BEST,), DIGEST, node=node, waiting=why, **more
    )


def runs(number: int = 1, *, since: timedelta = timedelta(seconds=30), **more: Any) -> Observed:
    """An attempt that runs."""
    started = NOW - since
    return Observed(
        number, f"job-{number}", AttemptState.RUNNING, (BEST,), DIGEST, node="a", started=started, **more
    )


def ended(
    number: int = 1,
    code: int | None = 0,
    *,
    ago: timedelta = timedelta(),
    result: Result | None = None,
    plan: str | None = None,
    **more: Any,
) -> Observed:
    """An attempt that ended with this exit code, so long ago."""
    seen = runs(number, since=ago + timedelta(minutes=1), **more)
    return replace(
        seen,
        state=AttemptState.ENDED,
        exit_code=code,
        finished=NOW - ago,
        result=result,
        plans=(plan or BEST,),
    )


def result_of(number: int = 1, category: Category | None = None, **more: Any) -> Result:
    """What the runner left: a video, or the category of its failure."""
    facts = {"output": OUTPUT} if category is None else {"message": f"it met {category.value}"}
    given = (
        {"uid": UID, "attempt": number, "task_digest": DIGEST, "plan": BEST, "device": H100} | facts | more
    )
    return Result(category=category, **given)


def failed(number: int, category: Category, **more: Any) -> Observed:
    """An attempt that ended with this category, and said so."""
    plan = more.pop("plan", BEST)
    result = result_of(number, category, plan=plan)
    return ended(number, TABLE[category].exit_code, result=result, plan=plan, **more)


def reports(
    stage: Stage = Stage.DENOISING, number: int = 1, *, ago: timedelta = timedelta(), **more: Any
) -> Progress:
    """A report of a running attempt."""
    return Progress(uid=UID, attempt=number, stage=stage, plan=BEST, device=H100, time=NOW - ago, **more)


def past(number: int, outcome: str, category: Category | None = None, **more: Any) -> AttemptStatus:
    """An attempt as the written status remembers it, ten minutes ago."""
    when = NOW - timedelta(minutes=10)
    facts = {"plan": BEST, "gpu": H100, "started": when, "finished": when} | more
    return AttemptStatus(
        number=number,
        job=f"job-{number}",
        outcome=outcome,
        category=category.value if category else None,
        **facts,
    )


def written(*attempts: AttemptStatus, phase: Phase = Phase.RUNNING, **more: Any) -> Status:
    """A status as it was last written."""
    return Status(phase=phase, attempts=list(attempts), observed_generation=1, **more)


def then(world: World, **changes: Any) -> World:
    """The world after its own decision was written, and these changes."""
    spec = changes.pop("spec", {})
    kept = world.spec.model_copy(update=spec) if world.spec is not None else None
    return replace(world, status=decide(world, NOW).status, spec=kept, **changes)


def words(decision: Decision) -> list[str]:
    """The actions, as a table can hold them."""
    return [_word(action) for action in decision.actions]


def _word(action: Action) -> str:
    match action:
        case StartAttempt(task=task):
            return f"start {task.attempt}"
        case StopAttempt(number=number):
            return f"stop {number}"
        case DeleteAttempt(number=number):
            return f"delete {number}"
    return "delete resource"


def condition(status: Status, kind: str) -> tuple[str, str] | None:
    """(status, reason) of a condition."""
    return next(((c.status, c.reason) for c in status.conditions if c.type == kind), None)
