"""The ranked list of plans for a request and an inventory, each with its verdict.

The order is that of preference and knows nothing of the inventory: the asked model before those named as
fallbacks, lossless before near, a GPU before the CPU, then the placement that costs the least time. Plans
that a better one beats in every respect are left out, and so are tiers below the quality asked for, unless
nothing else fits: then the best of them stands there as what a lower floor would allow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product

from pydantic import Field

from wan_core.api.model import Document
from wan_core.api.spec import Quality
from wan_core.api.status import RUNGS_MAX, Verdict
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.models import MODELS
from wan_core.plan.cures import find_cures, why_never
from wan_core.plan.duration import estimate_seconds, placement_seconds
from wan_core.plan.inventory import Inventory
from wan_core.plan.memory import MemoryEstimate, estimate_memory
from wan_core.plan.places import Place, find_places, fits_empty, fits_now
from wan_core.plan.request import Request, cannot_run
from wan_core.plan.techniques import TECHNIQUES, Group, Plan

# A plan that saves less memory than this over a better one is not worth a rung: estimates are no finer.
SAVING_GIB = 0.05
QUALITY_REASON = "spec.quality:"


class Rung(Document):
    """One plan, what it needs, and whether the inventory has it.

    `seconds` is for the whole video on the best device that fits, None where unknown. `products` are the GPU
    products on which it fits, now or later; empty for a CPU.
    """

    plan: Plan
    memory: MemoryEstimate
    seconds: float | None = Field(None, ge=0)
    tier: Quality
    verdict: Verdict
    reason: str = ""
    would_fit_if: tuple[str, ...] = ()
    products: tuple[str, ...] = ()


class Ladder(Document):
    """Rungs, best first; at most `RUNGS_MAX`. `left_out` is the inventory's."""

    rungs: tuple[Rung, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def runnable(self) -> tuple[Rung, ...]:
        return tuple(r for r in self.rungs if r.verdict is not Verdict.NEVER)


@dataclass(frozen=True)
class Candidate:
    """A plan with what it costs, before any inventory is looked at."""

    plan: Plan
    memory: MemoryEstimate
    placement_s: float

    @property
    def order(self) -> tuple[int, bool, float, float, str]:
        return (
            self.plan.tier.rank,
            self.plan.device == "cpu",
            self.placement_s,
            self.memory.peak_gib,
            self.plan.label,
        )

    def beats(self, other: Candidate) -> bool:
        """Whether `other`, which comes later in order, saves no memory worth a rung."""
        device = other.memory.peak_gib > self.memory.peak_gib - SAVING_GIB
        host = other.memory.host_gib > self.memory.host_gib - SAVING_GIB
        return self.plan.device == other.plan.device and device and host


def build_ladder(
    requests: Sequence[Request],
    inventory: Inventory,
    gpu_products: Sequence[str] = (),
    models: Mapping[str, ModelCard] = MODELS,
) -> Ladder:
    """The ladder of the first request, then those of the others, on `inventory`, cut to `RUNGS_MAX`.

    `gpu_products`, if any, are the only GPUs allowed. Every verdict Never has its reason.
    """
    places = find_places(inventory, gpu_products)
    groups = [build_rungs(request, models[request.model], places, inventory) for request in requests]
    return Ladder(rungs=_cut(groups), left_out=inventory.left_out)


def list_plans(card: ModelCard) -> tuple[Plan, ...]:
    """Every valid plan of a model."""
    return tuple(
        Plan(model=card.id, device=device, techniques=tuple(t for t in chosen if t))
        for device in ("cuda", "cpu")
        if device in card.devices
        for chosen in product(
            *(_choices(group, device) for group in ("precision", "placement", "text", "decode"))
        )
    )


def list_candidates(card: ModelCard, request: Request) -> tuple[Candidate, ...]:
    """The plans worth having, best first."""
    found = [
        Candidate(plan, estimate_memory(plan, card, request), placement_seconds(plan, card, request))
        for plan in list_plans(card)
    ]
    kept: list[Candidate] = []
    for candidate in sorted(found, key=lambda c: c.order):
        if not any(better.beats(candidate) for better in kept):
            kept.append(candidate)
    return tuple(kept)


def build_rungs(
    request: Request, card: ModelCard, places: Sequence[Place], inventory: Inventory
) -> tuple[Rung, ...]:
    """The rungs of one request, best first."""
    candidates = list_candidates(card, request)
    if reason := cannot_run(card):
        return (_never(candidates[0], reason),)
    rungs = [_judge(c, card, request, places, inventory) for c in candidates]
    within = tuple(r for r in rungs if r.tier.rank <= request.quality.rank)
    if any(r.verdict is not Verdict.NEVER for r in within):
        return within
    above = (r for r in rungs if r.tier.rank > request.quality.rank and r.verdict is not Verdict.NEVER)
    return (*within, *(_refuse_tier(r, request.quality) for r in islice(above, 1)))


def nothing_fits(ladder: Ladder) -> str:
    """Why no rung can run, by the one that needs least, and what would change it."""
    if not ladder.rungs:
        return "no technique of this version can run this request"
    lower = [r for r in ladder.rungs if r.reason.startswith(QUALITY_REASON)]
    least = min((r for r in ladder.rungs if r not in lower), key=lambda r: r.memory.peak_gib)
    models = list(dict.fromkeys(r.plan.model for r in ladder.rungs))
    cures = [cure for rung in (*lower, least) for cure in rung.would_fit_if]
    text = f"no plan of {' or '.join(models)} can run; {least.plan.label}: {least.reason}"
    text += f"; would fit with {', or '.join(dict.fromkeys(cures))}" if cures else ""
    return f"{text}; not considered: {', '.join(ladder.left_out)}" if ladder.left_out else text


def _choices(group: Group, device: str) -> list[str]:
    found = [t.id for t in TECHNIQUES.values() if t.group == group and device in t.devices]
    return found if group in ("precision", "placement") else ["", *found]


def _judge(
    candidate: Candidate, card: ModelCard, request: Request, places: Sequence[Place], inventory: Inventory
) -> Rung:
    plan, memory = candidate.plan, candidate.memory
    here = [p for p in places if p.kind == plan.device]
    fitting = [p for p in here if p.has_bf16 and fits_empty(memory, p)]
    if not fitting:
        cures = (*_barred(plan, memory, inventory), *find_cures(plan, card, request, here))
        return _never(candidate, why_never(plan, memory, places, inventory), cures)
    free = [p for p in fitting if fits_now(memory, p)]
    seconds = {p: estimate_seconds(plan, card, request, p) for p in {place.product for place in fitting}}
    best = min(free or fitting, key=lambda p: _speed(seconds[p.product], p))
    return Rung(
        plan=plan,
        memory=memory,
        seconds=seconds[best.product],
        tier=plan.tier,
        verdict=Verdict.FITS_NOW if free else Verdict.FITS_LATER,
        reason=_why_fits(memory, best, bool(free)),
        products=tuple(sorted({p.product for p in fitting})) if plan.device == "cuda" else (),
    )


def _barred(plan: Plan, memory: MemoryEstimate, inventory: Inventory) -> tuple[str, ...]:
    """The products that would do if spec.scheduling.gpuProducts named them, where it bars them."""
    places = [p for p in find_places(inventory) if p.kind == plan.device == "cuda" and p.has_bf16]
    products = sorted({p.product for p in places if fits_empty(memory, p)})
    return (f"scheduling.gpuProducts: {', '.join(products)}",) if products else ()


def _speed(seconds: float | None, place: Place) -> tuple[bool, float, str, str]:
    return (seconds is None, seconds or 0.0, place.node, place.product)


def _why_fits(memory: MemoryEstimate, place: Place, free: bool) -> str:
    need = f"needs {memory.peak_gib:.1f} GiB"
    if free:
        return f"{need}, {place.words} has {place.free_gib:.1f} GiB free"
    if memory.peak_gib > place.free_gib:
        return f"{need}, {place.words} has {place.free_gib:.1f} of {place.total_gib:.1f} GiB free now"
    host = f"{place.host_free_gib:.1f} of {place.host_total_gib:.1f} GiB"
    return f"needs {memory.host_gib:.1f} GiB of host memory, {place.node} has {host} free now"


def _never(candidate: Candidate, reason: str, cures: Iterable[str] = ()) -> Rung:
    return Rung(
        plan=candidate.plan,
        memory=candidate.memory,
        tier=candidate.plan.tier,
        verdict=Verdict.NEVER,
        reason=reason,
        would_fit_if=tuple(cures),
    )


def _refuse_tier(rung: Rung, floor: Quality) -> Rung:
    lossy = ", ".join(t for t in rung.plan.techniques if TECHNIQUES[t].tier.rank > floor.rank)
    reason = f"{QUALITY_REASON} {floor.value} excludes {lossy} ({rung.tier.value}); it {rung.reason}"
    cures = (f"quality: {rung.tier.value}",)
    return rung.model_copy(
        update={
            "verdict": Verdict.NEVER,
            "reason": reason,
            "would_fit_if": cures,
            "seconds": None,
            "products": (),
        }
    )


def _cut(groups: Sequence[Sequence[Rung]]) -> tuple[Rung, ...]:
    """At most `RUNGS_MAX` in order: the best of each group first, then what can run, then what cannot."""
    ranked: list[tuple[int, int, Rung]] = []
    for group in groups:
        best = next((r for r in group if r.verdict is not Verdict.NEVER), group[0] if group else None)
        for rung in group:
            weight = 0 if rung is best else 1 if rung.verdict is not Verdict.NEVER else 2
            ranked.append((weight, len(ranked), rung))
    kept = sorted(ranked, key=lambda entry: entry[:2])[:RUNGS_MAX]
    return tuple(rung for _, _, rung in sorted(kept, key=lambda entry: entry[1]))
