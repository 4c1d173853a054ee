"""Who has a pod that no node has room for, and which of them may be planned anew. Few at a time.

A thousand may wait when one GPU is freed: the scheduler gives it to a pod that asks for it, or else one or
two of them are made anew for it, not all.
"""

from __future__ import annotations

from wan_core.api.status import Phase, Status
from wan_operator.cluster.objects import Key
from wan_operator.world import Decision, StopAttempt, World

LOOKS = 10  # each time that `choose` is called: once a second
MADE_ANEW = 2
UNSCHEDULABLE = "Unschedulable"


class Queued:
    """In the order in which they came; all of it may be lost."""

    def __init__(self) -> None:
        self._waiting: dict[Key, None] = {}
        self._chosen: frozenset[Key] = frozenset()
        self._left = 0

    def choose(self) -> tuple[Key, ...]:
        """The next few, to be looked at now; they go to the end of the line."""
        keys = tuple(key for key, _ in zip(self._waiting, range(LOOKS), strict=False))
        for key in keys:
            self._waiting[key] = self._waiting.pop(key)
        self._chosen, self._left = frozenset(keys), MADE_ANEW
        return keys

    def may_be_made_anew(self, key: Key) -> bool:
        return self._left > 0 and key in self._chosen

    def note(self, key: Key, world: World, decision: Decision) -> None:
        """Count it if its attempt gave way."""
        if world.free is not None and any(isinstance(a, StopAttempt) for a in decision.actions):
            self._left -= 1
            self.drop(key)

    def keep(self, key: Key, status: Status) -> None:
        """Remember it as long as it waits for room."""
        if status.phase is Phase.QUEUED and status.reason == UNSCHEDULABLE:
            self._waiting.setdefault(key)
        else:
            self.drop(key)

    def drop(self, key: Key) -> None:
        self._waiting.pop(key, None)
