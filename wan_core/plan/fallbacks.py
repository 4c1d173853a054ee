"""What would be tried next if a plan failed, for each way in which another plan can help. Pure.

The same function answers here and in the operator: `choose.weaker`.
"""

from __future__ import annotations

from collections.abc import Sequence

from wan_core.api.model import Document
from wan_core.errors import TABLE, Category
from wan_core.plan.choose import Failure, weaker
from wan_core.plan.rungs import Ladder

CAUSES = tuple(category for category, row in TABLE.items() if row.other_plan)


class Fallback(Document):
    """After `plan` failed with `category` on `product` (None: a CPU): the plans that are left, best first.

    Empty: the resource fails, with advice.
    """

    plan: str
    category: Category
    product: str | None = None
    then: tuple[str, ...] = ()


def fallbacks(ladder: Ladder, failures: Sequence[Failure] = ()) -> tuple[Fallback, ...]:
    """What follows if the plan that is tried first, after these failures, fails where it is tried first."""
    left = weaker(ladder, failures)
    if not left:
        return ()
    plan, products = left[0].plan, left[0].products
    product = products[0] if products else None
    found: list[Fallback] = []
    for category in CAUSES:
        if category is Category.CUDA_OUT_OF_MEMORY and plan.device == "cpu":
            continue
        failure = Failure(plan=plan.label, category=category, product=product)
        rungs = weaker(ladder, (*failures, failure))
        then = tuple(rung.plan.label for rung in rungs)
        found.append(Fallback(plan=plan.label, category=category, product=product, then=then))
    return tuple(found)
