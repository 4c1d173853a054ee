"""Whether a candidate fits places now, later or never; where, with which numbers, how fast, at what price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wan_core.api.status import Verdict
from wan_core.plan.candidates import Candidate
from wan_core.plan.criteria import NOWHERE, Course, Criteria, Need, Order, find_course, find_need
from wan_core.plan.memory import MemoryEstimate
from wan_core.plan.places import Ground, Place, fits_empty, fits_now, suited
from wan_core.plan.rungs import Cure, MeasuredNeed, Rung
from wan_core.plan.techniques import suits


@dataclass(frozen=True)
class Judged:
    """A candidate against an inventory. `place` is the one that the reason names: where it runs fastest, of
    those that are free if any is; of a plan that fits nowhere the largest, if there is one at all.

    `best` is the course on the fastest of all that fit, free or not: by it rungs are ordered, so that what
    comes and goes on the nodes changes no order.
    """

    candidate: Candidate
    verdict: Verdict
    reason: str
    suited: tuple[Place, ...]
    needs: Mapping[str, Need]
    place: Place | None = None
    course: Course = NOWHERE
    best: Course = NOWHERE
    products: tuple[str, ...] = ()
    cures: tuple[Cure, ...] = ()

    @property
    def fits(self) -> bool:
        return self.verdict is not Verdict.NEVER

    def key(self, order: Order) -> tuple[int, bool, tuple[bool, float, bool, float], float, float, str]:
        """Among those that fit: quality, GPU before CPU, then what was asked for."""
        tier, cpu, reference_s, peak_gib, label = self.candidate.rank
        return tier, cpu, self.best.rank(order), reference_s, peak_gib, label


@dataclass(frozen=True)
class Matched:
    """A candidate held against places: those with what it needs besides memory, and those that it fits."""

    candidate: Candidate
    suited: tuple[Place, ...]
    needs: Mapping[str, Need]
    fitting: tuple[Place, ...]

    def stands_for(self, other: Matched) -> bool:
        """Whether it fits wherever `other` does, which comes later in order and saves hardly any memory."""
        return self.candidate.nearly_beats(other.candidate) and set(other.fitting) <= set(self.fitting)


def match(candidate: Candidate, places: Sequence[Place], criteria: Criteria) -> Matched:
    """Where it fits, if nothing else runs there."""
    here = suited(candidate.plan, places)
    needs = {product: _need(candidate, product, criteria) for product in {p.product for p in here}}
    fitting = tuple(p for p in here if fits_empty(needs[p.product].memory, p))
    return Matched(candidate, tuple(here), needs, fitting)


def thin(matched: Sequence[Matched]) -> list[Matched]:
    """Without those that a better one stands for."""
    kept: list[Matched] = []
    for one in matched:
        if not any(better.stands_for(one) for better in kept):
            kept.append(one)
    return kept


def judge(matched: Matched, ground: Ground, criteria: Criteria) -> Judged:
    """The verdict, with its reason."""
    candidate, needs, fitting = matched.candidate, matched.needs, matched.fitting
    if not fitting:
        return _never(matched, ground)
    free = [p for p in fitting if fits_now(needs[p.product].memory, p)]
    courses = {product: _course(candidate, product, criteria) for product in {p.product for p in fitting}}

    def rank(place: Place) -> tuple[tuple[bool, float, bool, float], str, str]:
        return courses[place.product].rank(criteria.order), place.node, place.product

    place = min(free or fitting, key=rank)
    memory = needs[place.product].memory
    return Judged(
        candidate,
        verdict=Verdict.FITS_NOW if free else Verdict.FITS_LATER,
        reason=_why_fits(memory, place, bool(free)),
        suited=matched.suited,
        needs=needs,
        place=place,
        course=courses[place.product],
        best=min(courses.values(), key=lambda course: course.rank(criteria.order)),
        products=tuple(sorted(courses)) if candidate.plan.device != "cpu" else (),
        cures=() if free else free_up(memory, place),
    )


def judge_again(rung: Rung, places: Sequence[Place]) -> Rung:
    """The rung with the verdict that it has on `places`, which differ from those before in what is free only.

    Its reason and its place are as they were.
    """
    if rung.verdict is Verdict.NEVER:
        return rung
    now = any(fits_now(rung.need_on(p.product), p) for p in suited(rung.plan, places))
    return rung.model_copy(update={"verdict": Verdict.FITS_NOW if now else Verdict.FITS_LATER})


def make_rung(judged: Judged) -> Rung:
    """The rung that says all this. What was corrected stands with the product, on a CPU with the plan."""
    plan, place = judged.candidate.plan, judged.place
    corrected = {product: need for product, need in judged.needs.items() if need.note}
    measured = [MeasuredNeed(product=p, memory=n.memory) for p, n in sorted(corrected.items())]
    on_cpu = plan.device == "cpu" and bool(measured)
    here = corrected[place.product].note if place is not None and place.product in corrected else ""
    return Rung(
        plan=plan,
        memory=measured[0].memory if on_cpu else judged.candidate.memory,
        measured=() if on_cpu else tuple(measured),
        time=judged.course.time,
        cost=judged.course.cost,
        tier=plan.tier,
        verdict=judged.verdict,
        reason=judged.reason,
        cures=judged.cures,
        products=judged.products,
        product=place.product if place is not None else "",
        device_gib=place.total_gib if place is not None and plan.device != "cpu" else None,
        notes=tuple(note for note in (here, judged.course.note) if note),
    )


def free_up(memory: MemoryEstimate, place: Place) -> tuple[Cure, ...]:
    """What has to be free on `place`, which is large enough, for the plan to fit now."""
    found: list[Cure] = []
    if place.kind != "cpu" and memory.peak_gib > place.free_gib:
        need = memory.peak_gib
        text = f"{need:.1f} GiB free on {place.product}, {need - place.free_gib:.1f} more than now"
        found.append(Cure(kind="memory", value=need, text=text))
    if memory.host_gib > place.host_free_gib:
        need = memory.host_gib
        text = f"{need:.1f} GiB of host memory free on {place.node}"
        found.append(
            Cure(kind="host", value=need, text=f"{text}, {need - place.host_free_gib:.1f} more than now")
        )
    if len(found) < 2:
        return tuple(found)
    first, second = found
    both = first.model_copy(
        update={"text": f"{first.text}, and {second.text}", "also": (("host", second.value),)}
    )
    return (both,)


def _need(candidate: Candidate, product: str, criteria: Criteria) -> Need:
    """Not estimated again, if nothing was measured."""
    if not criteria.calibration.measurements:
        return Need(candidate.memory)
    return find_need(criteria, candidate.plan, candidate.card, candidate.request, product)


def _course(candidate: Candidate, product: str, criteria: Criteria) -> Course:
    return find_course(criteria, candidate.plan, candidate.card, candidate.request, product)


def _why_fits(memory: MemoryEstimate, place: Place, free: bool) -> str:
    need = f"needs {memory.peak_gib:.1f} GiB"
    if free and not place.looked:
        return f"{need}, fits {place.words} with {place.total_gib:.1f} GiB when it is empty"
    if free:
        return f"{need}, {place.words} has {place.free_gib:.1f} GiB free"
    if memory.peak_gib > place.free_gib:
        return f"{need}, {place.words} has {place.free_gib:.1f} of {place.total_gib:.1f} GiB free now"
    host = f"{place.host_free_gib:.1f} of {place.host_total_gib:.1f} GiB"
    return f"needs {memory.host_gib:.1f} GiB of host memory, {place.node} has {host} free now"


def _never(matched: Matched, ground: Ground) -> Judged:
    largest = max(matched.suited, key=lambda p: (p.total_gib, p.product), default=None)
    reason = _why_never(matched.candidate, matched.suited, matched.needs, ground.places)
    reason = reason or _nothing_of(matched.candidate, ground)
    return Judged(matched.candidate, Verdict.NEVER, reason, matched.suited, matched.needs, largest)


def _why_never(
    candidate: Candidate, here: Sequence[Place], needs: Mapping[str, Need], places: Sequence[Place]
) -> str:
    """One clause with what is needed and the most that there is; empty where there is nothing of the kind."""
    plan = candidate.plan
    if not here:
        kin = [p for p in places if (p.kind == "cpu") == (plan.device == "cpu")]
        best = max(kin, key=lambda p: (p.capability or (0, 0), p.product), default=None)
        if best is None or best.kind == plan.device:
            return suits(plan, best.kind, best.capability, best.product) if best is not None else ""
        need = f"needs {candidate.memory.peak_gib:.1f} GiB of an NVIDIA or AMD GPU ({plan.device})"
        return f"{need}, {best.product} is one for {best.kind}"
    largest = max(here, key=lambda p: (p.total_gib, p.product))
    memory = needs[largest.product].memory
    if plan.device != "cpu" and memory.peak_gib > largest.total_gib:
        need = f"needs {memory.peak_gib:.1f} GiB ({memory.peak_phase})"
        return f"{need}, the largest GPU is {largest.product} with {largest.total_gib:.1f} GiB"
    roomy = [p for p in here if needs[p.product].memory.peak_gib <= p.total_gib] or here
    host = max(roomy, key=lambda p: (p.host_total_gib, p.node))
    where = f"the largest node{'' if plan.device == 'cpu' else ' with a fitting GPU'}, {host.node},"
    need = f"needs {needs[host.product].memory.host_gib:.1f} GiB of host memory"
    return f"{need}, {where} has {host.host_total_gib:.1f} GiB"


def _nothing_of(candidate: Candidate, ground: Ground) -> str:
    memory = candidate.memory
    need = f"needs {memory.peak_gib:.1f} GiB ({memory.peak_phase})"
    if candidate.plan.device == "cpu" and ground.gpus_only:
        return f"{need}, spec.scheduling.gpuProducts allows GPUs only"
    if candidate.plan.device == "cpu":
        return f"{need}, there is no node for it"
    names = ", ".join(sorted({p.product for p in ground.barred if p.kind != "cpu"}))
    if not names:
        return f"{need}, there is no GPU here"
    return f"{need}, spec.scheduling.gpuProducts allows none of the GPUs here ({names})"
