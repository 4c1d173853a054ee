"""A Job that the API server does not take, by quota or by policy: told verbatim, and tried again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from wan_core.api.conditions import Condition, set_condition
from wan_core.api.status import MESSAGE_MAX, Status
from wan_operator.history import cut
from wan_operator.reasons import Reason

FIRST_RETRY_S, LONGEST_RETRY_S = 2.0, 60.0


@dataclass(frozen=True, slots=True)
class Refused:
    """The server's words, and how often it has said no so far."""

    words: str
    times: int

    @property
    def retry_s(self) -> float:
        """2 s, doubled each time, at most a minute: nobody tells us when a quota is raised."""
        return min(FIRST_RETRY_S * float(2 ** min(self.times - 1, 8)), LONGEST_RETRY_S)


def tell_refused(status: Status, refused: Refused, now: datetime) -> Status:
    """The status of a decision to start an attempt, whose Job was refused."""
    words = cut(refused.words, MESSAGE_MAX)
    condition = Condition(
        type="Running",
        status="False",
        reason=Reason.JOB_REFUSED.value,
        message=words,
        last_transition_time=now,
        observed_generation=status.observed_generation,
    )
    conditions = set_condition(status.conditions, condition)
    return status.model_copy(
        update={"reason": Reason.JOB_REFUSED.value, "message": words, "conditions": conditions}
    )
