"""Who is planned and held. When what is busy has changed they are planned anew, a few at a time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from wan_core.api.status import Status
from wan_core.plan.inventory import Inventory
from wan_operator.cluster.objects import Key
from wan_operator.reasons import Reason

# Each time that `choose` is called: once a second. A look may build a ladder, in tens of milliseconds, and
# write a status; nobody waits for it as those do whose pods are queued.
LOOKS = 2


class Suspended:
    """Each in its turn, however often something changes; all of it may be lost."""

    def __init__(self) -> None:
        self._held: dict[Key, None] = {}
        self._untold: dict[Key, None] = {}
        self._seen: Inventory | None = None

    def choose(self, look: Callable[[], Inventory]) -> tuple[Key, ...]:
        """The next few that have not been looked at since `look` said something else."""
        if not self._held:
            return ()
        seen = look()
        if seen is not self._seen:
            self._seen = seen
            self._untold |= self._held
        keys = tuple(islice(self._untold, LOOKS))
        for key in keys:
            del self._untold[key]
        return keys

    def keep(self, key: Key, status: Status) -> None:
        """Remember it as long as it is suspended."""
        if status.reason == Reason.SUSPENDED and not status.phase.finished:
            self._held.setdefault(key)
        else:
            self.drop(key)

    def drop(self, key: Key) -> None:
        self._held.pop(key, None)
        self._untold.pop(key, None)
