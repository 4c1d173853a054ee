"""Conditions as `metav1.Condition` has them, and the one way to set one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from wan_core.api.model import Document

REASON_MAX = 128  # characters

ConditionType = Literal[
    "Accepted", "Planned", "Scheduled", "Running", "Stalled", "Degraded", "Succeeded", "Failed", "Finished"
]


class Condition(Document):
    """One observation about the resource; `type` is unique within the list."""

    type: ConditionType
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, StringConstraints(min_length=1, max_length=REASON_MAX)]
    message: Annotated[str, StringConstraints(max_length=4096)] = ""
    last_transition_time: datetime
    observed_generation: int | None = Field(None, ge=0, le=2**53 - 1)


def set_condition(conditions: Sequence[Condition], new: Condition) -> list[Condition]:
    """The list with `new` in it; the transition time stays as it was if the status did not change."""
    old = next((c for c in conditions if c.type == new.type), None)
    if old is None:
        return [*conditions, new]
    if old.status == new.status:
        new = new.model_copy(update={"last_transition_time": old.last_transition_time})
    return [new if c is old else c for c in conditions]
