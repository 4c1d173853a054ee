"""What the operator counts, for Prometheus. Every label has a bounded set of values.

No names, uids or namespaces: a label per resource would grow without end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry

from wan_core.api.status import Status
from wan_operator.world import Observed


class Metrics:
    """All metrics of one operator, in a registry of its own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        raise NotImplementedError

    def watch_queue(self, depth: Callable[[], int]) -> None:
        """Read the queue's depth at each scrape."""
        raise NotImplementedError

    def reconciled(self, result: str, seconds: float) -> None:
        """One reconcile: `result` is `written`, `unchanged`, `conflict` or `error`."""
        raise NotImplementedError

    def called_api(self, verb: str, resource: str, status: int | None) -> None:
        """One API call, None where no answer came; subresources as `videogenerations/status`."""
        raise NotImplementedError

    def saw_event(self, resource: str, kind: str | None) -> None:
        """One watch event: ADDED, MODIFIED, DELETED; None for one of the first list."""
        raise NotImplementedError

    def track(self, uid: str, status: Status) -> None:
        """The status of a resource, whenever it is read or written; cheap if nothing changed."""
        raise NotImplementedError

    def untrack(self, uid: str) -> None:
        """The resource is gone."""
        raise NotImplementedError

    def changed(self, old: Status, new: Status, attempts: Sequence[Observed] = ()) -> None:
        """`new` was written in place of `old`: counts the attempts that ended and the seconds by stage."""
        raise NotImplementedError

    def render(self) -> bytes:
        """The text of /metrics."""
        raise NotImplementedError
