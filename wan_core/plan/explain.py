"""A ladder in words and rows, for people. Nothing here decides."""

from __future__ import annotations

from dataclasses import dataclass

from wan_core.api.spec import Quality
from wan_core.api.status import Verdict
from wan_core.plan.ladder import Ladder, Rung
from wan_core.plan.techniques import TECHNIQUES, Plan


@dataclass(frozen=True)
class Row:
    """One rung as it is shown. Memory in GiB; `seconds` is "unmeasured" where nothing is known of the GPU.

    `loses` says of each technique below lossless what is lost, and how much.
    """

    rank: int
    plan: str
    tier: Quality
    text_gib: float
    denoise_gib: float
    decode_gib: float
    peak_phase: str
    host_gib: float
    seconds: str
    verdict: Verdict
    why: str
    would_fit_if: tuple[str, ...]
    loses: tuple[str, ...]


def ladder_rows(ladder: Ladder) -> list[Row]:
    """The ladder as a table, best first."""
    return [_row(rank, rung) for rank, rung in enumerate(ladder.rungs, start=1)]


def why_this(ladder: Ladder) -> str:
    """Why the best plan that fits is it: `LABEL: best of 3 that fit; needs 1.0 GiB, ...`; empty if none."""
    if not ladder.runnable:
        return ""
    best, count = ladder.runnable[0], len(ladder.runnable)
    rank = "the only plan that fits" if count == 1 else f"best of {count} that fit"
    time = "" if best.seconds is None else f", about {words_of_seconds(best.seconds)} once loaded"
    return f"{best.plan.label}: {rank}; {best.reason}{time}"


def words_of_seconds(seconds: float) -> str:
    """`1.2 s`, `95 s`, `25 min`, `3.4 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _row(rank: int, rung: Rung) -> Row:
    fits = rung.verdict is not Verdict.NEVER
    unknown = "unmeasured" if fits else ""
    return Row(
        rank=rank,
        plan=rung.plan.label,
        tier=rung.tier,
        text_gib=rung.memory.text_gib,
        denoise_gib=rung.memory.denoise_gib,
        decode_gib=rung.memory.decode_gib,
        peak_phase=rung.memory.peak_phase,
        host_gib=rung.memory.host_gib,
        seconds=unknown if rung.seconds is None else words_of_seconds(rung.seconds),
        verdict=rung.verdict,
        why=rung.reason,
        would_fit_if=rung.would_fit_if,
        loses=losses(rung.plan),
    )


def losses(plan: Plan) -> tuple[str, ...]:
    """What each technique below lossless loses: `ID: what; quality: a figure, or "unmeasured"`."""
    used = (TECHNIQUES[technique] for technique in plan.techniques)
    lossy = (technique for technique in used if technique.tier is not Quality.LOSSLESS)
    return tuple(f"{technique.id}: {technique.loses}; quality: {technique.quality}" for technique in lossy)
