"""From a spec to requests and a ladder, or to the reason why there is none. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from wan_core.api.spec import Spec
from wan_core.api.status import AttemptStatus
from wan_core.catalog.models import MODELS
from wan_core.errors import TABLE, Category, InvalidInput
from wan_core.plan.choose import Failure
from wan_core.plan.ladder import Ladder, build_ladder
from wan_core.plan.request import Request, cannot_run, resolve_request
from wan_core.task import TASK_MAX_BYTES
from wan_operator.history import category_of
from wan_operator.jobs import build_task, task_bytes
from wan_operator.world import World

NO_PLAN_FITS = "NoPlanFits"
MODEL_CANNOT_RUN = "ModelCannotRun"


@dataclass(frozen=True)
class Planned:
    """The asked model's request, then those of the named fallback models, and the ladder over them."""

    requests: tuple[Request, ...]
    ladder: Ladder


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
    if world.spec is None or world.problems:
        return _invalid(world.problems)
    try:
        requests = build_requests(world.spec, world.metadata.uid)
    except InvalidInput as error:
        return _invalid([*error.problems, *bucket_problems(world.spec, world.settings.image_buckets)])
    reason = cannot_run(MODELS[requests[0].model])
    if reason:
        return Rejected(MODEL_CANNOT_RUN, (f"spec.model: {reason}",))
    problems = bucket_problems(world.spec, world.settings.image_buckets)
    if problems:
        return _invalid(problems)
    ladder = build_ladder(requests, world.inventory, tuple(world.spec.scheduling.gpu_products))
    if ladder.rungs and task_bytes(build_task(world, requests, ladder.rungs, (), 1)) > TASK_MAX_BYTES:
        return _invalid([f"spec: prompts and fallback models make a Task of over {TASK_MAX_BYTES} bytes"])
    return Planned(requests, ladder)


def build_requests(spec: Spec, uid: str) -> tuple[Request, ...]:
    """The asked model's request, then those of its fallback models. Raises InvalidInput with all problems."""
    requests: list[Request] = []
    problems: list[str] = []
    for model in (None, *spec.fallback.models):
        try:
            requests.append(resolve_request(spec, uid, model))
        except InvalidInput as error:
            problems += [p for p in error.problems if p not in problems]
    if problems:
        raise InvalidInput(problems)
    return tuple(requests)


def bucket_problems(spec: Spec, allowed: Sequence[str] | None) -> tuple[str, ...]:
    """A problem if the input image lies in a bucket that the administrator does not allow (None: any)."""
    if spec.image is None or allowed is None or urlsplit(spec.image).netloc in allowed:
        return ()
    names = ", ".join(allowed) or "none"
    return (
        f'spec.image: bucket "{urlsplit(spec.image).netloc}" may not hold input images; allowed: {names}',
    )


def failures_of(history: Sequence[AttemptStatus]) -> tuple[Failure, ...]:
    """The failures that speak about a plan, and not about the network or the request."""
    return tuple(
        Failure(plan=a.plan, category=category_of(a), product=a.gpu)
        for a in history
        if a.outcome == "Failed" and a.plan and TABLE[category_of(a)].other_plan
    )


def cure(ladder: Ladder) -> str:
    """The computed ways in which more would fit, for people; empty if there are none."""
    cures = list(dict.fromkeys(text for rung in ladder.rungs for text in rung.would_fit_if))[:4]
    return f"would fit if: {'; or '.join(cures)}" if cures else ""


def _invalid(problems: Sequence[str]) -> Rejected:
    return Rejected(TABLE[Category.INVALID_INPUT].reason, tuple(problems))
