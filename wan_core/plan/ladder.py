"""The ranked list of plans for a request and an inventory, each with its verdict."""

from __future__ import annotations

from pydantic import Field

from wan_core.api.model import Document
from wan_core.api.spec import Quality
from wan_core.api.status import Verdict
from wan_core.plan.memory import MemoryEstimate
from wan_core.plan.techniques import Plan


class Rung(Document):
    """One plan, what it needs, and whether the inventory has it.

    `seconds` is for the whole video on the best device that fits, None where unknown.
    """

    plan: Plan
    memory: MemoryEstimate
    seconds: float | None = Field(None, ge=0)
    tier: Quality
    verdict: Verdict
    reason: str = ""
    would_fit_if: tuple[str, ...] = ()


class Ladder(Document):
    """Rungs, best first; at most 12."""

    rungs: tuple[Rung, ...] = ()

    @property
    def runnable(self) -> tuple[Rung, ...]:
        return tuple(r for r in self.rungs if r.verdict is not Verdict.NEVER)
