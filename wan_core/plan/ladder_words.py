"""A ladder in words, for people: the sentence why, verdicts, times, costs, losses. Nothing here decides."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from wan_core.api.spec import Quality
from wan_core.api.status import Verdict
from wan_core.plan.rungs import Ladder, Rung
from wan_core.plan.span import Span
from wan_core.plan.techniques import TECHNIQUES, Plan

UNMEASURED = "unmeasured"
VERDICTS: Mapping[Verdict, str] = MappingProxyType(
    {Verdict.FITS_NOW: "fits now", Verdict.FITS_LATER: "fits later", Verdict.NEVER: "never"}
)


def why_this(ladder: Ladder) -> str:
    """Why the best plan that fits is it: `LABEL: best of 3 that fit; needs 1.0 GiB, ...`; empty if none."""
    if not ladder.runnable:
        return ""
    best, count = ladder.runnable[0], len(ladder.runnable)
    rank = "the only plan that fits" if count == 1 else f"best of {count} that fit"
    time = "" if best.time is None else f", {words_of_span(best.time.total)}"
    cost = "" if best.cost is None else f", cost {words_of_amounts(best.cost)}"
    return f"{best.plan.label}: {rank}; {best.reason}{time}{cost}"


def words_of_seconds(seconds: float) -> str:
    """`1.2 s`, `95 s`, `25 min`, `3.4 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def words_of_span(seconds: Span) -> str:
    """`about 25 min` of what is known that well, else `25 min to 3.4 h`."""
    low, high = words_of_seconds(seconds.low), words_of_seconds(seconds.high)
    return f"about {low}" if low == high else f"{low} to {high}"


def words_of_amounts(cost: Span) -> str:
    """In whatever currency the prices are: `0.42`, `0.42 to 1.10`."""
    low, high = f"{cost.low:.2f}", f"{cost.high:.2f}"
    return low if low == high else f"{low} to {high}"


def losses(plan: Plan) -> tuple[str, ...]:
    """What each technique below lossless loses: `ID: what; quality: a figure, or "unmeasured"`."""
    used = (TECHNIQUES[technique] for technique in plan.techniques)
    lossy = (technique for technique in used if technique.tier is not Quality.LOSSLESS)
    return tuple(f"{technique.id}: {technique.loses}; quality: {technique.quality}" for technique in lossy)


def percents(rung: Rung) -> tuple[float, float, float] | None:
    """Of the device's memory, by phase: text, denoise, decode; None where there is no device."""
    if rung.device_gib is None:
        return None
    need, whole = rung.need, rung.device_gib
    return (100 * need.text_gib / whole, 100 * need.denoise_gib / whole, 100 * need.decode_gib / whole)
