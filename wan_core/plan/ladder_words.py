"""A ladder in words and rows, for people. Nothing here decides."""

from __future__ import annotations

from dataclasses import dataclass

from wan_core.api.spec import Quality
from wan_core.api.status import Verdict
from wan_core.plan.rungs import Ladder, Rung
from wan_core.plan.span import Span
from wan_core.plan.techniques import TECHNIQUES, Plan

UNMEASURED = "unmeasured"
VERDICTS = {
    Verdict.FITS_NOW: "fits now",
    Verdict.FITS_LATER: "fits later",
    Verdict.NEVER: "never",
}


@dataclass(frozen=True)
class Row:
    """One rung as it is shown. Memory in GiB, of `device` if anything was measured there.

    `percents` are of that device's memory: of the text encoder's phase, denoising and decoding; None where
    there is no device. `seconds` is "unmeasured" where nothing is known of the GPU; `per_step`, `basis` and
    `cost` are empty then, and `cost` where no price is set. `loses` says of each technique below lossless
    what is lost, and how much.
    """

    rank: int
    job: int | None
    plan: str
    model: str
    techniques: str
    tier: Quality
    text_gib: float
    denoise_gib: float
    decode_gib: float
    peak_gib: float
    peak_phase: str
    percents: tuple[float, float, float] | None
    host_gib: float
    device: str
    seconds: str
    per_step: str
    basis: str
    cost: str
    verdict: Verdict
    verdict_words: str
    why: str
    would_fit_if: tuple[str, ...]
    loses: tuple[str, ...]
    notes: tuple[str, ...]


def ladder_rows(ladder: Ladder) -> list[Row]:
    """The ladder as a table, best first."""
    return [_row(rank, rung) for rank, rung in enumerate(ladder.rungs, start=1)]


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
    """Of the device's memory, by phase: text, denoise, decode."""
    if rung.device_gib is None:
        return None
    need, whole = rung.need, rung.device_gib
    return (100 * need.text_gib / whole, 100 * need.denoise_gib / whole, 100 * need.decode_gib / whole)


def _row(rank: int, rung: Rung) -> Row:
    fits, time, need = rung.verdict is not Verdict.NEVER, rung.time, rung.need
    return Row(
        rank=rank,
        job=rung.job,
        plan=rung.plan.label,
        model=rung.plan.model,
        techniques=" + ".join(rung.plan.techniques),
        tier=rung.tier,
        text_gib=need.text_gib,
        denoise_gib=need.denoise_gib,
        decode_gib=need.decode_gib,
        peak_gib=need.peak_gib,
        peak_phase=need.peak_phase,
        percents=percents(rung),
        host_gib=need.host_gib,
        device=rung.product,
        seconds=words_of_span(time.total) if time is not None else UNMEASURED if fits else "",
        per_step=words_of_span(time.seconds_per_step) if time is not None else "",
        basis=time.basis if time is not None else "",
        cost=words_of_amounts(rung.cost) if rung.cost is not None else "",
        verdict=rung.verdict,
        verdict_words=VERDICTS[rung.verdict],
        why=rung.reason,
        would_fit_if=rung.would_fit_if,
        loses=losses(rung.plan),
        notes=rung.notes,
    )
