"""What finished videos say of how long a plan takes and how much memory, for those that are planned next.

Read from status as it is told, kept in bounded room, and gone with the process: the videos that are still
there tell it again. A table counts for a while before the next one does. Who has an attempt that runs is told
about by the table that it was planned with: its status is not written anew because another video has ended.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.models import MODELS
from wan_core.plan.calibration import Calibration, Measurement
from wan_core.plan.gathering import LAST, Key, Sample, gather

REFRESH_S = 300.0  # that a table counts: as often as everything is looked at anyway
KEYS_MAX = 2_000  # GPUs x plans x shapes; those that were not told of for the longest time go first
SOURCE = "results in status"
CPU = "cpu"  # what the planner calls every CPU


class Measured:
    """The last attempts of each GPU, plan and shape, and the table that is made of them.

    `known` are measurements that the administrator gave: they count where no video tells.
    """

    def __init__(
        self,
        known: Sequence[Measurement] = (),
        models: Mapping[str, ModelCard] = MODELS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._known = known
        self._models = models
        self._clock = clock
        self._samples: OrderedDict[Key, dict[tuple[datetime, str], Sample]] = OrderedDict()
        self._changed = True
        self._table = Calibration()
        self._made = float("-inf")
        self._planned_with: dict[str, Calibration] = {}

    def note(self, document: Mapping[str, Any]) -> None:
        """Take in what a VideoGeneration tells, if anything; what was told before changes nothing."""
        for sample in samples_of(document, self._models):
            kept = self._samples.setdefault(sample.key, {})
            self._samples.move_to_end(sample.key)
            if kept.get(sample.age) == sample:
                continue
            kept[sample.age] = sample
            if len(kept) > LAST:
                del kept[min(kept)]
            self._changed = True
        while len(self._samples) > KEYS_MAX:
            self._samples.popitem(last=False)

    def table(self) -> Calibration:
        """The one that counts now: the same object for as long as nothing in it is another."""
        if self._changed and self._clock() - self._made >= REFRESH_S:
            self._changed, self._made = False, self._clock()
            table = gather((s for kept in self._samples.values() for s in kept.values()), self._known)
            self._table = self._table if table == self._table else table
        return self._table

    def table_for(self, uid: str, lives: bool) -> Calibration:
        """The one that a resource is planned with: while an attempt of it lives, that of before."""
        if not lives or uid not in self._planned_with:
            self._planned_with[uid] = self.table()
        return self._planned_with[uid]

    def forget(self, uid: str) -> None:
        """It is finished or gone."""
        self._planned_with.pop(uid, None)


def samples_of(document: Mapping[str, Any], models: Mapping[str, ModelCard] = MODELS) -> tuple[Sample, ...]:
    """The figures of the attempt that made the video; none where they are missing or make no sense."""
    status = document.get("status")
    if not isinstance(status, Mapping) or status.get("phase") != "Succeeded":
        return ()
    try:
        return tuple(_read(document, status, models))
    except (TypeError, KeyError, ValueError, OverflowError, AttributeError, ValidationError):
        return ()  # somebody edited it: it is a document of the API server, not of ours


def _read(
    document: Mapping[str, Any], status: Mapping[str, Any], models: Mapping[str, ModelCard]
) -> Iterable[Sample]:
    output = status["output"]
    for attempt in status["attempts"]:
        if attempt.get("outcome") != "Succeeded" or not (attempt.get("plan") and attempt.get("gpu")):
            continue
        model, device = attempt["plan"].split("/")[:2]
        if model in models and ("peakVramGib" in attempt or "secondsPerStep" in attempt):
            yield Sample(
                datetime.fromisoformat(attempt["finished"]).astimezone(UTC),
                f"{document['metadata']['uid']}/{attempt['number']}",
                Measurement(
                    product=CPU if device == CPU else attempt["gpu"],
                    plan=attempt["plan"],
                    width=output["width"],
                    height=output["height"],
                    frames=output["frames"],
                    guided=_is_guided(document["spec"], models[model]),
                    peak_gib=attempt.get("peakVramGib"),
                    seconds_per_step=attempt.get("secondsPerStep"),
                    source=SOURCE,
                ),
            )


def _is_guided(spec: Mapping[str, Any], card: ModelCard) -> bool:
    """Whether a step takes two passes, as `wan_core.plan.request.Request.guided` says of the request."""
    given = spec.get("guidance") or {}
    high, low = card.defaults.guidance
    scale = given.get("scale")
    high, low = given.get("high", scale or high), given.get("low", scale or low)
    return bool(max(high, low) > 1)
