"""Ladders that were built before: thousands of resources ask for the same few videos on the same nodes.

A ladder depends on neither prompt nor seed, so it is kept by the rest of the requests, the inventory, the
products, the terms and the administrator's own models. Nothing is remembered that another process could not
work out again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.models import MODELS
from wan_core.plan.criteria import Criteria
from wan_core.plan.inventory import Inventory
from wan_core.plan.ladder import build_ladder
from wan_core.plan.request import Request
from wan_core.plan.rungs import Ladder
from wan_operator.terms import NO_TERMS, Terms

LADDERS_MAX = 512  # of some 30 KB each


def find_ladder(
    requests: Sequence[Request],
    inventory: Inventory,
    gpu_products: Sequence[str] = (),
    terms: Terms = NO_TERMS,
    models: Mapping[str, ModelCard] = MODELS,
) -> Ladder:
    """What `build_ladder` says."""
    bare = tuple(request.bare() for request in requests)
    own = tuple(card for name, card in models.items() if name not in MODELS)
    return _build(bare, inventory, tuple(gpu_products), terms, own)


@lru_cache(maxsize=LADDERS_MAX)
def _build(
    requests: tuple[Request, ...],
    inventory: Inventory,
    gpu_products: tuple[str, ...],
    terms: Terms,
    own: tuple[ModelCard, ...],
) -> Ladder:
    models = {**MODELS, **{card.id: card for card in own}}
    criteria = Criteria(terms.order, terms.rates, terms.prices, terms.calibration)
    return build_ladder(requests, inventory, gpu_products, models, criteria)
