"""A condition is set once a type, and its transition time moves only with its status."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from wan_core.api.conditions import Condition, set_condition
from wan_core.api.status import Phase

THEN = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NOW = THEN + timedelta(minutes=5)


def condition(kind: str, status: str, time: datetime, reason: str = "Because") -> Condition:
    return Condition(type=kind, status=status, reason=reason, last_transition_time=time)


def test_a_new_condition_is_appended():
    accepted, planned = condition("Accepted", "True", THEN), condition("Planned", "True", NOW)
    assert set_condition([accepted], planned) == [accepted, planned]


def test_a_change_of_status_moves_the_time_and_keeps_the_place():
    running, degraded = condition("Running", "False", THEN), condition("Degraded", "True", THEN)
    changed = condition("Running", "True", NOW)
    assert set_condition([running, degraded], changed) == [changed, degraded]


def test_another_reason_alone_does_not_move_the_time():
    old = condition("Stalled", "False", THEN)
    (new,) = set_condition([old], condition("Stalled", "False", NOW, reason="Progressing"))
    assert (new.reason, new.last_transition_time) == ("Progressing", THEN)


@pytest.mark.parametrize("phase", list(Phase))
def test_three_phases_are_ends(phase):
    assert phase.finished == (phase in (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED))
