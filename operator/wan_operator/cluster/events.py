"""Few Events about a VideoGeneration, for `kubectl describe`. Best effort: the status is what counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from wan_core.api.status import Metadata, Status
from wan_operator.cluster.metrics import Metrics


class EventWriter(Protocol):
    """The part of Api that writes Events. Other errors than the two named escape as they are (and are
    logged here).
    """

    async def create_event(self, namespace: str, event: Mapping[str, Any]) -> bool:
        """False if one of that name exists already."""

    async def patch_event(self, namespace: str, name: str, patch: Mapping[str, Any]) -> bool:
        """Merge patch; False if there is none of that name any more."""


class Recorder:
    """Posts Events in the background."""

    def __init__(self, api: EventWriter, metrics: Metrics) -> None:
        raise NotImplementedError

    def tell(self, metadata: Metadata, old: Status, new: Status) -> None:
        """Call after `new` was written in place of `old`. Never blocks, never raises."""
        raise NotImplementedError

    async def run(self) -> None:
        """Post until cancelled: one task of the operator."""
        raise NotImplementedError
