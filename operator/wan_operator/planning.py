"""From a spec to requests and a ladder, or to the reason why there is none. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from wan_core.api.spec import Quality, Spec
from wan_core.api.status import AttemptStatus, Verdict
from wan_core.errors import TABLE, Category, InvalidInput
from wan_core.plan.asked import build_requests, model_notes, why_unrunnable
from wan_core.plan.choose import Failure, weaker
from wan_core.plan.cures import least_of
from wan_core.plan.inventory import Inventory
from wan_core.plan.request import Request
from wan_core.plan.rungs import Ladder
from wan_core.task import TASK_MAX_BYTES
from wan_operator.history import category_of, plan_of_refusal
from wan_operator.jobs import build_task, task_bytes
from wan_operator.ladders import find_ladder
from wan_operator.reasons import Reason
from wan_operator.world import World


@dataclass(frozen=True)
class Planned:
    """The asked model's request, then those of the named fallback models, and the ladder over them.

    `notes` say which ids were read as which models.
    """

    requests: tuple[Request, ...]
    ladder: Ladder
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rejected:
    """Why no plan can be made, whatever the inventory: each problem as `path: what`."""

    reason: str
    problems: tuple[str, ...]

    @property
    def message(self) -> str:
        return "; ".join(self.problems)


def plan_request(world: World) -> Planned | Rejected:
    """The ladder for this world, or the typed reason why there can be none."""
    spec = world.spec
    if spec is None or world.problems:
        return _invalid(world.problems)
    requests: tuple[Request, ...] = ()
    problems: list[str] = []
    try:
        requests = build_requests(spec, world.metadata.uid, world.settings.models)
    except InvalidInput as error:
        problems += error.problems
    problems += _bucket_problems(spec, world.settings.image_buckets)
    problems += _priority_problems(spec, world.settings.priority_class_names)
    unrunnable = why_unrunnable(spec, world.settings.models)
    problems = [problem for problem in problems if problem not in unrunnable]
    if problems:
        return _invalid([*problems, *unrunnable])
    if unrunnable:
        return Rejected(Reason.MODEL_CANNOT_RUN, unrunnable)
    ladder = ladder_for(world, requests)
    if _may_be_too_large(requests) and _is_too_large(world, requests, ladder):
        return _invalid([f"spec: prompts and fallback models make a Task of over {TASK_MAX_BYTES} bytes"])
    return Planned(requests, ladder, model_notes(spec, world.settings.models))


def ladder_for(world: World, requests: Sequence[Request], inventory: Inventory | None = None) -> Ladder:
    """The ladder of these requests in this world, on its inventory unless another is given."""
    there = world.inventory if inventory is None else inventory
    return find_ladder(requests, there, world.gpu_products, world.terms, world.settings.models)


def _may_be_too_large(requests: Sequence[Request]) -> bool:
    """Whether it is worth counting: JSON makes six bytes of a character at most."""
    characters = sum(len(r.prompt) + len(r.negative_prompt) for r in requests)
    return 6 * characters > TASK_MAX_BYTES // 2


def _is_too_large(world: World, requests: Sequence[Request], ladder: Ladder) -> bool:
    return bool(ladder.rungs) and (
        task_bytes(build_task(world, requests, ladder.rungs, (), 1)) > TASK_MAX_BYTES
    )


def _bucket_problems(spec: Spec, allowed: Sequence[str] | None) -> tuple[str, ...]:
    """A problem if the input image lies in a bucket that the administrator does not allow (None: any)."""
    if spec.image is None or allowed is None or urlsplit(spec.image).netloc in allowed:
        return ()
    names = ", ".join(allowed) or "none"
    return (
        f'spec.image: bucket "{urlsplit(spec.image).netloc}" may not hold input images; allowed: {names}',
    )


def _priority_problems(spec: Spec, allowed: Sequence[str]) -> tuple[str, ...]:
    """A problem if the priority class is not one that the administrator allows."""
    name = spec.scheduling.priority_class_name
    if name is None or name in allowed:
        return ()
    names = ", ".join(allowed) or "none"
    return (f'spec.scheduling.priorityClassName: "{name}" may not be used; allowed: {names}',)


def failures_of(history: Sequence[AttemptStatus]) -> tuple[Failure, ...]:
    """The failures that speak about plans, and not about the network or the request.

    An attempt that refused the very plan it has bound none: all that it carried failed there.
    """
    return tuple(
        Failure(plan=plan, category=category_of(a), product=a.gpu)
        for a in history
        if a.outcome == "Failed" and TABLE[category_of(a)].other_plan
        for plan in _failed_plans(a)
    )


def _failed_plans(attempt: AttemptStatus) -> tuple[str, ...]:
    refused = tuple(plan_of_refusal(line) for line in attempt.refused)
    if attempt.plan in refused:
        return refused
    return (attempt.plan,) if attempt.plan else ()


def cure(world: World, planned: Planned, failures: Sequence[Failure]) -> str:
    """The computed ways in which there would be another plan to try, for people; else how little it takes."""
    never = (rung for rung in planned.ladder.rungs if rung.verdict is Verdict.NEVER)
    hardware = (cure.text for cure in least_of(cure for rung in never for cure in rung.cures))
    cures = list(dict.fromkeys([*_lower_floor(world, planned, failures), *hardware]))[:4]
    if cures:
        return f"Another plan could be tried with {'; or '.join(cures)}."
    needs = [rung.memory for rung in planned.ladder.rungs]
    room, host = min(need.peak_gib for need in needs), min(need.host_gib for need in needs)
    return f"The smallest plans need {room:.1f} GiB or {host:.1f} GiB of host memory, by estimate."


def _lower_floor(world: World, planned: Planned, failures: Sequence[Failure]) -> tuple[str, ...]:
    """The next lower quality that allows a plan which these failures do not speak against."""
    for quality in Quality:
        if quality.rank > planned.requests[0].quality.rank:
            requests = tuple(r.model_copy(update={"quality": quality}) for r in planned.requests)
            rungs = weaker(ladder_for(world, requests), failures)
            if rungs:
                best, need = rungs[0].plan, rungs[0].memory
                room = f"{need.peak_gib:.1f} GiB and {need.host_gib:.1f} GiB of host memory"
                return (f"quality: {quality.value} ({best.label} needs {room})",)
    return ()


def _invalid(problems: Sequence[str]) -> Rejected:
    return Rejected(TABLE[Category.INVALID_INPUT].reason, tuple(problems))
