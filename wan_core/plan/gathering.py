"""Measurements of many attempts to the table that estimates are corrected by.

Of each GPU, plan and shape the median of the last `LAST` attempts stands in the table, on a grid: it stays as
it is, and so does all that is kept by it, until a median has moved. In which order they are told is all the
same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from wan_core.plan.calibration import Calibration, Measurement
from wan_core.plan.product_names import product_key

# Enough that four odd ones move no median.
LAST = 9
# Medians are rounded to a power of these: by at most 2.5 % and 0.5 %.
TIME_GRID, MEMORY_GRID = 1.05, 1.01

Key = tuple[str, str, int, int, int, bool]


@dataclass(frozen=True)
class Sample:
    """One attempt's figures, and when it ended. `attempt` tells two apart that ended at once."""

    finished: datetime
    attempt: str
    measurement: Measurement

    @property
    def key(self) -> Key:
        one = self.measurement
        return (product_key(one.product), one.plan, one.width, one.height, one.frames, one.guided)

    @property
    def age(self) -> tuple[datetime, str]:
        return (self.finished, self.attempt)


def gather(samples: Iterable[Sample], known: Iterable[Measurement] = ()) -> Calibration:
    """The table of `samples`, and of `known` where there is none of the same GPU, plan and shape."""
    groups: dict[Key, dict[tuple[datetime, str], Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.key, {})[sample.age] = sample
    rows = [summarize(list(group.values())) for _, group in sorted(groups.items())]
    rest = [one for one in known if Sample(datetime.min, "", one).key not in groups]
    return Calibration((*rows, *sorted(rest, key=lambda one: one.model_dump_json())))


def summarize(samples: list[Sample]) -> Measurement:
    """The median of the last ones, all of one GPU, plan and shape."""
    last = [s.measurement for s in sorted(samples, key=lambda s: s.age)[-LAST:]]
    return last[-1].model_copy(
        update={
            "peak_gib": _middle([m.peak_gib for m in last], MEMORY_GRID),
            "seconds_per_step": _middle([m.seconds_per_step for m in last], TIME_GRID),
            "count": len(last),
        }
    )


def _middle(values: list[float | None], grid: float) -> float | None:
    known = [value for value in values if value is not None]
    return _round(median(known), grid) if known else None


def _round(value: float, grid: float) -> float:
    """The nearest power of `grid`, to four digits."""
    power = grid ** round(math.log(value) / math.log(grid))
    return float(f"{power:.4g}")
