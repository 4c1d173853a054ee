"""The plans of a model that are worth having for a request, best first. Knows nothing of an inventory.

The order is that of preference: lossless before near, a GPU before the CPU, then what takes less time on one
GPU that stands for all. A plan is left out if a better one needs no more memory and runs wherever it runs.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from wan_core.api.spec import Quality
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.gpu_card import Capability
from wan_core.catalog.gpus import GPUS, find_gpu
from wan_core.plan.duration import estimate_time
from wan_core.plan.memory import MemoryEstimate, estimate_memory
from wan_core.plan.rates import DEFAULT_RATES, Rates
from wan_core.plan.request import Request
from wan_core.plan.techniques import GROUPS, REQUIRED, TECHNIQUES, Group, Plan, suits

# A plan that saves less memory than this over a better one is not worth a rung, unless only it fits:
# estimates are no finer (docs/benchmarks.md).
SAVING_GIB, SAVING_SHARE = 0.05, 0.02
# It ranks plans where no GPU that would do is at hand.
REFERENCE = find_gpu("H100-80GB-HBM3")
CAPABILITIES = (None, *sorted({c.compute_capability for c in GPUS if c.compute_capability is not None}))
PLANS_MAX = 64  # models whose plans are kept
# Lists that are kept, of some 20 KB each: whoever asks again, for another inventory or another of a hundred
# GPUs, which have a dozen compute capabilities, asks for the same ones.
LISTS_MAX = 256

Rank = tuple[int, bool, float, float, str]


@dataclass(frozen=True)
class Candidate:
    """A plan with what it needs by estimate, and seconds of the whole video on the reference."""

    plan: Plan
    card: ModelCard
    request: Request
    memory: MemoryEstimate
    reference_s: float

    @property
    def rank(self) -> Rank:
        plan = self.plan
        return plan.tier.rank, plan.device == "cpu", self.reference_s, self.memory.peak_gib, plan.label

    def beats(self, other: Candidate) -> bool:
        """Whether `other`, later in order, neither needs less memory nor runs elsewhere."""
        return self._needs_no_more(other, 0.0, 0.0)

    def nearly_beats(self, other: Candidate) -> bool:
        """Whether it saves too little to be worth a rung beside this one where both fit."""
        peak, host = (
            max(SAVING_GIB, SAVING_SHARE * g) for g in (other.memory.peak_gib, other.memory.host_gib)
        )
        return self._needs_no_more(other, peak, host)

    def _needs_no_more(self, other: Candidate, peak_gib: float, host_gib: float) -> bool:
        return (
            self.plan.device == other.plan.device
            and self.memory.peak_gib <= other.memory.peak_gib + peak_gib
            and self.memory.host_gib <= other.memory.host_gib + host_gib
            and self._runs_wherever(other)
        )

    def _runs_wherever(self, other: Candidate) -> bool:
        return suited_capabilities(other.plan.techniques) <= suited_capabilities(self.plan.techniques)


@lru_cache(maxsize=PLANS_MAX)
def _list_plans(model: str, devices: tuple[str, ...]) -> tuple[Plan, ...]:
    return tuple(
        Plan.model_validate({"model": model, "device": device, "techniques": [t for t in chosen if t]})
        for device in ("cuda", "cpu")
        if device in devices
        for chosen in product(*(_choices(group, device) for group in GROUPS))
    )


def list_plans(card: ModelCard) -> tuple[Plan, ...]:
    """Every valid plan of a model."""
    return _list_plans(card.id, card.devices)


def list_candidates(
    card: ModelCard,
    request: Request,
    rates: Rates = DEFAULT_RATES,
    present: Set[Capability | None] = frozenset(CAPABILITIES),
) -> tuple[Candidate, ...]:
    """The plans worth having, best first, that a recent GPU takes or one of the capabilities `present`.

    Of whichever quality: its floor is not looked at.
    """
    bare = request.bare().model_copy(update={"quality": Quality.LOSSLESS})
    return _list_candidates(card, bare, rates, frozenset((None, *present)))


@lru_cache(maxsize=LISTS_MAX)
def _list_candidates(
    card: ModelCard, request: Request, rates: Rates, takers: frozenset[Capability | None]
) -> tuple[Candidate, ...]:
    plans = [p for p in list_plans(card) if request.guided or not needs_guidance(p.techniques)]
    plans = [p for p in plans if takers & suited_capabilities(p.techniques)]
    found = [
        Candidate(p, card, request, estimate_memory(p, card, request), _reference_s(p, card, request, rates))
        for p in plans
    ]
    kept: list[Candidate] = []
    for candidate in sorted(found, key=lambda c: c.rank):
        if not any(better.beats(candidate) for better in kept):
            kept.append(candidate)
    return tuple(kept)


@lru_cache(maxsize=1024)
def suited_capabilities(techniques: tuple[str, ...]) -> frozenset[Capability | None]:
    """The compute capabilities of the catalogue's GPUs, and None for an unknown one, that these take."""
    used = [TECHNIQUES[t] for t in techniques]
    return frozenset(c for c in CAPABILITIES if not any(suits(t, t.devices[0], c) for t in used))


@lru_cache(maxsize=1024)
def needs_guidance(techniques: tuple[str, ...]) -> bool:
    """Whether one of these is for requests of two passes a step only."""
    return any(TECHNIQUES[t].needs.guided for t in techniques)


def _reference_s(plan: Plan, card: ModelCard, request: Request, rates: Rates) -> float:
    time = estimate_time(plan, card, request, REFERENCE, rates)
    assert time is not None, "the reference is a card of the catalogue"
    return time.total.middle


def _choices(group: Group, device: str) -> list[str]:
    found = [t.id for t in TECHNIQUES.values() if t.group == group and device in t.devices]
    return found if group in REQUIRED else ["", *found]
