"""When waiting or running has lasted too long, and when to try again. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from wan_core.api.durations import read_duration
from wan_core.api.spec import Deadlines
from wan_core.api.status import AttemptStatus, Phase
from wan_operator.world import AttemptState, Observed, Settings, World

FIRST_BACK_OFF = timedelta(seconds=5)
LONGEST_BACK_OFF = timedelta(minutes=5)


def start_deadline(
    world: World, history: Sequence[AttemptStatus], deadlines: Deadlines, now: datetime
) -> datetime | None:
    """When the first attempt must run at the latest: None once one has, or where no deadline is set.

    The clock runs from creation, or from the end of the last suspension.
    """
    limit = read_duration(deadlines.start)
    if limit is None or any(a.started is not None for a in history):
        return None
    return waiting_since(world, now) + limit


def waiting_since(world: World, now: datetime) -> datetime:
    """Since when it has waited to run: since its condition Running is False (Unknown: suspended)."""
    running = next((c for c in world.status.conditions if c.type == "Running"), None)
    if running is None:
        return world.metadata.creation_timestamp or now
    return running.last_transition_time if running.status == "False" else now


def run_deadline(attempt: Observed, deadlines: Deadlines) -> datetime | None:
    """When this attempt has run too long."""
    limit = read_duration(deadlines.run)
    if limit is None or attempt.started is None or attempt.state is not AttemptState.RUNNING:
        return None
    return attempt.started + limit


def retention_end(world: World) -> datetime | None:
    """When a finished resource is to be deleted; None for never."""
    if world.spec is None:
        return None
    good = world.status.phase is Phase.SUCCEEDED
    limit = read_duration(world.spec.retention.succeeded if good else world.spec.retention.failed)
    finished = next((c for c in world.status.conditions if c.type == "Finished"), None)
    return finished.last_transition_time + limit if limit is not None and finished is not None else None


def stall_time(reported: datetime, seconds_per_step: float | None, settings: Settings) -> datetime:
    """When silence after a report counts as a stall."""
    five_steps_s = 5 * (seconds_per_step or 0.0)
    return reported + timedelta(seconds=max(settings.stall_after_s, five_steps_s))


def back_off(failures: int) -> timedelta:
    """How long to wait after so many failures: 5 s, doubled each time, at most 5 minutes."""
    doublings = min(max(failures - 1, 0), 16)  # more would overflow a timedelta
    return min(FIRST_BACK_OFF * int(2**doublings), LONGEST_BACK_OFF)
