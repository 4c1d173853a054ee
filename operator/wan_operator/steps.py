"""What may come next for a resource: the five answers of `decide.next_step`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from wan_core.api.status import Phase
from wan_core.task import Task


@dataclass(frozen=True)
class Start:
    """Make this attempt. Only while none lives."""

    task: Task


@dataclass(frozen=True)
class Watch:
    """An attempt lives and is to go on."""


@dataclass(frozen=True)
class Wait:
    """No attempt now; look again at `until`, or when the world changes."""

    reason: str
    message: str
    until: datetime | None = None


@dataclass(frozen=True)
class Hold:
    """No attempt while the user says so."""

    reason: str
    message: str


@dataclass(frozen=True)
class End:
    """The resource is finished, as soon as no attempt lives."""

    phase: Phase
    reason: str
    message: str


Step = Start | Watch | Wait | Hold | End
