"""One request against what there is to run on: the ladder, the plan that is taken and why, what comes after.

Pure. The operator writes the very same ladder into `status.ladder`: both call `build_ladder`.
"""

from __future__ import annotations

from collections.abc import Mapping

from wan_core.api.model import Document
from wan_core.api.spec import Spec
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.models import MODELS
from wan_core.plan.asked import build_requests
from wan_core.plan.cautions import find_warnings
from wan_core.plan.criteria import DEFAULT_CRITERIA, Criteria
from wan_core.plan.fallbacks import Fallback, fallbacks
from wan_core.plan.inventory import Inventory
from wan_core.plan.ladder import build_ladder, nothing_fits
from wan_core.plan.ladder_words import why_this
from wan_core.plan.request import Request
from wan_core.plan.rungs import Ladder


class Explanation(Document):
    """`requests` are complete: the model's, then those of its fallback models.

    `conclusion` says which plan is taken and why, or why none can be. `warnings`: what is correct, but slow
    or poor.
    """

    requests: tuple[Request, ...]
    ladder: Ladder
    conclusion: str
    warnings: tuple[str, ...] = ()
    fallbacks: tuple[Fallback, ...] = ()


def explain(
    spec: Spec,
    inventory: Inventory,
    uid: str = "",
    models: Mapping[str, ModelCard] = MODELS,
    criteria: Criteria = DEFAULT_CRITERIA,
) -> Explanation:
    """How `spec` would be run on `inventory`. Raises InvalidInput with every problem of the spec."""
    requests = build_requests(spec, uid, models)
    ladder = build_ladder(requests, inventory, spec.scheduling.gpu_products, models, criteria)
    return explain_ladder(spec, requests, ladder, models)


def explain_ladder(
    spec: Spec, requests: tuple[Request, ...], ladder: Ladder, models: Mapping[str, ModelCard] = MODELS
) -> Explanation:
    """What a ladder of `requests`, which are those of `spec`, says."""
    best = ladder.runnable[0] if ladder.runnable else None
    asked = next((r for r in requests if best is not None and r.model == best.plan.model), requests[0])
    return Explanation(
        requests=requests,
        ladder=ladder,
        conclusion=why_this(ladder) or nothing_fits(ladder),
        warnings=find_warnings(models[asked.model], spec, asked, best),
        fallbacks=fallbacks(ladder),
    )
