"""One line of a table about `decide`: a sentence, a world, and what follows."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.wan_operator.worlds import NOW, words
from wan_core.api.status import Phase
from wan_operator.decide import decide
from wan_operator.world import World

UNSCHEDULABLE = ("Unschedulable", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")


@dataclass(frozen=True)
class Case:
    """A sentence, the world it speaks of, and what follows: actions, phase, reason, words in the message."""

    says: str
    world: World
    phase: Phase
    reason: str
    does: list[str] = field(default_factory=list)
    message: str = ""


def check(case: Case) -> None:
    """Decide, and compare with what the table says."""
    decision = decide(case.world, NOW)
    said = (decision.status.phase, decision.status.reason, words(decision))
    assert said == (case.phase, case.reason, case.does), decision.status.message
    assert case.message in decision.status.message
