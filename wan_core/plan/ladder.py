"""The ranked list of plans for a request and an inventory, each with its verdict.

The asked model stands before those named as fallbacks; the plans of each in the order of `ranking`. Tiers
below the quality asked for are left out, unless nothing else fits: then the best of them stands there as what
a lower floor would allow. Rungs that ride on one Job have its number (`pods`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from wan_core.api.spec import Quality
from wan_core.api.status import RUNGS_MAX, Verdict
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.models import MODELS
from wan_core.plan.alternatives import find_alternatives
from wan_core.plan.candidates import list_candidates
from wan_core.plan.criteria import DEFAULT_CRITERIA, Criteria
from wan_core.plan.cures import find_cures, least_of
from wan_core.plan.inventory import Inventory
from wan_core.plan.places import Ground, Place, survey
from wan_core.plan.pods import number_jobs
from wan_core.plan.ranking import rank_plans
from wan_core.plan.request import Request, cannot_run
from wan_core.plan.rungs import Cure, Ladder, Rung
from wan_core.plan.techniques import TECHNIQUES, suits
from wan_core.plan.verdicts import Judged, make_rung

LOWEST = max(Quality, key=lambda quality: quality.rank)


def build_ladder(
    requests: Sequence[Request],
    inventory: Inventory,
    gpu_products: Sequence[str] = (),
    models: Mapping[str, ModelCard] = MODELS,
    criteria: Criteria = DEFAULT_CRITERIA,
) -> Ladder:
    """The ladder of the first request, then those of the others, on `inventory`, cut to `RUNGS_MAX`.

    `gpu_products`, if any, are the only GPUs allowed. Every verdict Never has its reason, and what would
    change it.
    """
    ground = survey(inventory, gpu_products)
    groups = [_rank_allowed(request, models[request.model], ground, criteria) for request in requests]
    kept = _cut(groups)
    runnable = {j.candidate.plan.model for group in groups for j in group if j.fits}
    advised = {
        request.model: _advise(request, requests, ground, criteria, models)
        for request in requests
        if request.model not in runnable and not models[request.model].cannot_run
    }
    rungs = _finish(kept, ground, criteria, advised)
    return Ladder(rungs=number_jobs(rungs, ground.places), left_out=inventory.left_out)


def nothing_fits(ladder: Ladder) -> str:
    """Why no rung can run, by the one that needs least, and what would change it."""
    if not ladder.rungs:
        return "no technique of this version can run this request"
    within = [r for r in ladder.rungs if all(cure.kind != "quality" for cure in r.cures)]
    least = min(within, key=lambda r: r.memory.peak_gib)
    models = list(dict.fromkeys(r.plan.model for r in ladder.rungs))
    cures = least_of(cure for rung in ladder.rungs for cure in rung.cures)
    text = f"no plan of {' or '.join(models)} can run; {least.plan.label}: {least.reason}"
    text += f"; would fit with {', or '.join(cure.text for cure in cures)}" if cures else ""
    return f"{text}; not considered: {', '.join(ladder.left_out)}" if ladder.left_out else text


def _rank_allowed(request: Request, card: ModelCard, ground: Ground, criteria: Criteria) -> list[Judged]:
    """The plans of one request, best first, within its quality; and what a lower floor would allow."""
    if reason := cannot_run(card):
        first = list_candidates(card, request, criteria.rates)[0]
        return [Judged(first, Verdict.NEVER, reason, (), {})]
    within = _without_clutter(rank_plans(request, card, ground, criteria), ground.places)
    if any(j.fits for j in within):
        return within
    lower = request.model_copy(update={"quality": LOWEST})
    above = next((j for j in rank_plans(lower, card, ground, criteria) if j.fits), None)
    return [*within, _refuse_tier(above, request)] if above is not None else within


def _without_clutter(judged: Sequence[Judged], places: Sequence[Place]) -> list[Judged]:
    """Of the plans for GPUs that no GPU here is one for, the best stands for all; none for older GPUs does,
    if there are other plans.
    """
    if all(p.kind == "cpu" for p in places):
        return list(judged)
    unsuited = [j for j in judged if not j.suited and j.candidate.plan.device != "cpu"]
    stands = next((j for j in unsuited if not suits(j.candidate.plan, "cuda", None)), None)
    return [j for j in judged if j is stands or not any(j is u for u in unsuited)] or list(judged)


def _refuse_tier(judged: Judged, request: Request) -> Judged:
    plan, floor = judged.candidate.plan, request.quality
    lossy = ", ".join(t for t in plan.techniques if TECHNIQUES[t].tier.rank > floor.rank)
    reason = f"spec.quality: {floor.value} excludes {lossy} ({plan.tier.value}); it {judged.reason}"
    cure = Cure(kind="quality", value=plan.tier.value, text=f"quality: {plan.tier.value}")
    return replace(judged, verdict=Verdict.NEVER, reason=reason, products=(), cures=(cure,))


def _cut(groups: Sequence[Sequence[Judged]]) -> list[Judged]:
    """At most `RUNGS_MAX` in order: what each GPU product and each model would miss, then what can run."""
    ranked: list[tuple[int, int, Judged]] = []
    for group in groups:
        missed = _indispensable(group)
        for one in group:
            weight = 0 if any(one is m for m in missed) else 1 if one.fits else 2
            ranked.append((weight, len(ranked), one))
    kept = sorted(ranked, key=lambda entry: entry[:2])[:RUNGS_MAX]
    return [one for _, _, one in sorted(kept, key=lambda entry: entry[1])]


def _indispensable(group: Sequence[Judged]) -> list[Judged]:
    """The best, the best for each product, the one that needs least, and what a lower floor would allow."""
    fitting = [j for j in group if j.fits]
    products = {p for j in fitting for p in j.products}
    best = [next(j for j in fitting if p in j.products) for p in sorted(products)]
    least = min(fitting, key=lambda j: j.candidate.memory.peak_gib, default=None)
    offered = [j for j in group if not j.fits and j.cures]
    return [*(fitting or group)[:1], *best, *([least] if least is not None else []), *offered]


def _advise(
    request: Request,
    requests: Sequence[Request],
    ground: Ground,
    criteria: Criteria,
    models: Mapping[str, ModelCard],
) -> tuple[Cure, ...]:
    """Other models that can do what is asked for, and fit: advice, never taken."""
    named = {r.model for r in requests}

    def runs(asked: Request, card: ModelCard) -> str:
        judged = _rank_allowed(asked, card, ground, criteria)
        return next((j.candidate.plan.label for j in judged if j.fits), "")

    return find_alternatives(request, models, named, runs)


def _finish(
    kept: Sequence[Judged], ground: Ground, criteria: Criteria, advised: Mapping[str, tuple[Cure, ...]]
) -> tuple[Rung, ...]:
    """With what would change each Never. Other models stand with the plan that needs least of the model."""
    by_need = sorted((one.candidate for one in kept), key=lambda c: c.memory.peak_gib)
    least = {candidate.plan.model: candidate for candidate in reversed(by_need)}
    rungs: list[Rung] = []
    for one in kept:
        plan = one.candidate.plan
        if not one.fits and not one.cures and not one.candidate.card.cannot_run:
            cures = find_cures(one.candidate, ground, criteria)
            more = advised.get(plan.model, ()) if least[plan.model] is one.candidate else ()
            one = replace(one, cures=(*cures, *more))
        rungs.append(make_rung(one))
    return tuple(rungs)
