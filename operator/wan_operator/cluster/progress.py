"""Progress from runners: an HTTP endpoint that believes a report only from the pod of that very attempt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from wan_core.task import Progress
from wan_operator.cluster.metrics import Metrics

Key = tuple[str, str]  # namespace and name of a resource
Review = Callable[[str, list[str]], Awaitable[Mapping[str, Any] | None]]


@dataclass(frozen=True)
class Reporting:
    """A living attempt: whose it is, and its pod's uid, None where the pod has not been seen yet."""

    key: Key
    pod_uid: str | None


class ProgressInbox:
    """Keeps the latest believed report of each attempt, and tells of it sparingly.

    `review(token, audiences)` is the `status` of a TokenReview, None where the API server could not be asked.
    `known(uid, attempt)` is None unless that attempt lives. `notify(key)` is called in the event loop.
    """

    def __init__(
        self,
        *,
        service_account: str,
        review: Review,
        known: Callable[[str, int], Reporting | None],
        notify: Callable[[Key], None],
        metrics: Metrics,
        quiet_s: float = 300.0,
    ) -> None:
        raise NotImplementedError

    def latest(self, uid: str, attempt: int) -> Progress | None:
        """The latest report of this attempt; its `time` is that of arrival."""
        raise NotImplementedError

    def forget(self, uid: str) -> None:
        """Drop what is known of a resource that is finished or gone."""
        raise NotImplementedError

    def application(self) -> web.Application:
        """To be served with `listen.serving(inbox.application(), settings.report.port)`."""
        raise NotImplementedError
