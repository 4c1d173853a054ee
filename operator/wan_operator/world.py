"""What `decide` looks at and what it may ask for. Data only.

A World is one moment: the resource, what was last written about it, and what exists. Whoever builds it keeps
two promises: every attempt that exists is in `attempts`, and an attempt that is not there is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from wan_core.api.spec import Spec
from wan_core.api.status import Metadata, Status
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.models import MODELS
from wan_core.errors import Category
from wan_core.plan.inventory import Inventory
from wan_core.task import Progress, Result, Task
from wan_operator.terms import NO_TERMS, Terms


@dataclass(frozen=True)
class Settings:
    """The administrator's side of a decision.

    `weights` and `output` are S3 prefixes. `image_buckets`: where input images may lie, None for anywhere.
    `inventory_may_grow`: a node may join, so that a request which fits nothing waits instead of failing.
    `stall_after_s`: a silence longer than this, or than five steps, after a report counts as a stall.
    `one_shape`: an attempt has one pod, which carries only rungs that ask for the same.
    `priority_class_names`: those that users may name. `credentials` says where those for S3 come from.
    `models`: those of the catalogue and the administrator's own.
    """

    weights: str
    output: str
    image_buckets: tuple[str, ...] | None = None
    report_url: str | None = None
    inventory_may_grow: bool = True
    stall_after_s: float = 300.0
    one_shape: bool = False
    priority_class_names: tuple[str, ...] = ()
    credentials: str = ""
    models: Mapping[str, ModelCard] = field(default_factory=lambda: MODELS)  # read-only, so it is shared


class AttemptState(StrEnum):
    """Where a Job (or a process) stands. Until it has ended it lives."""

    PENDING = "Pending"
    RUNNING = "Running"
    ENDED = "Ended"


@dataclass(frozen=True)
class Observed:
    """One attempt that exists.

    `plans` and `task_digest` are those of the Task as it was given: its rungs' labels, and `Task.digest()`.
    `waiting` is why it does not run yet, (reason, message) in the scheduler's or the registry's own words.
    `exit_code` is as a shell sees it. `verdict`: the category that the platform gives its end, whatever the
    exit code, and `story` the platform's words. `stopping`: it was told to stop and has not ended yet.
    `outdated`: an attempt made now would be made otherwise, because settings have changed.
    """

    number: int
    job: str
    state: AttemptState
    plans: tuple[str, ...]
    task_digest: str
    pod: str | None = None
    node: str | None = None
    started: datetime | None = None
    finished: datetime | None = None
    waiting: tuple[str, str] | None = None
    exit_code: int | None = None
    oom_killed: bool = False
    verdict: Category | None = None
    story: str = ""
    stopping: bool = False
    outdated: bool = False
    result: Result | None = None

    @property
    def lives(self) -> bool:
        return self.state is not AttemptState.ENDED

    @property
    def plan(self) -> str:
        """The plan that is tried first."""
        return self.plans[0] if self.plans else ""


@dataclass(frozen=True)
class World:
    """Everything that a decision depends on, but the clock.

    `spec` is None where the resource could not be read; `problems` then says why. `status` is what was last
    written. `attempts` are in the order of their numbers: the last one that lives is the one told about.
    `progress` is the latest report of the newest attempt, its `time` that of arrival.
    `free` is what is free now, where an attempt that waits for room may be made anew; else None.
    `terms` are what is planned by, beside the inventory.
    """

    metadata: Metadata
    spec: Spec | None
    status: Status
    inventory: Inventory
    settings: Settings
    problems: tuple[str, ...] = ()
    attempts: tuple[Observed, ...] = ()
    progress: Progress | None = None
    free: Inventory | None = None
    terms: Terms = NO_TERMS

    @property
    def gpu_products(self) -> tuple[str, ...]:
        """The only GPUs that are allowed; none named: any."""
        return tuple(self.spec.scheduling.gpu_products) if self.spec is not None else ()

    @property
    def living(self) -> tuple[Observed, ...]:
        """The attempts that have not ended, oldest first. More than one only after a race."""
        return tuple(attempt for attempt in self.attempts if attempt.lives)


@dataclass(frozen=True)
class StartAttempt:
    """Create the Job `job` for this Task. If it exists already, that is success."""

    job: str
    task: Task


@dataclass(frozen=True)
class StopAttempt:
    """Ask attempt `number` to end: SIGTERM, the grace period, then SIGKILL. `reason` is for the log."""

    number: int
    reason: str


@dataclass(frozen=True)
class DeleteAttempt:
    """Remove what is left of attempt `number`: it has ended, and the written status says how."""

    number: int


@dataclass(frozen=True)
class DeleteResource:
    """Delete the resource itself: it is finished, and `spec.retention` is over."""


Action = StartAttempt | StopAttempt | DeleteAttempt | DeleteResource


@dataclass(frozen=True)
class Decision:
    """What to do now, what to write, and when to look again if nothing happens before (None: no need)."""

    actions: tuple[Action, ...]
    status: Status
    requeue_after_s: float | None = None
