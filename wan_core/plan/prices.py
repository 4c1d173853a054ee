"""What a plan costs, where the administrator says what a GPU costs an hour, in whatever currency."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from wan_core.plan.product_names import product_key
from wan_core.plan.span import Span

Prices = Mapping[str, float]
"""Of one GPU for one hour, by product as the node label or the driver writes it."""

NO_PRICES: Prices = MappingProxyType({})

SECONDS_PER_HOUR = 3600
PRICE_MAX = 1_000_000  # of an hour, in whatever currency: more is a slip


def find_price(prices: Prices, product: str) -> float | None:
    """The price of `product`, however its name is written and whether or not it is shared; None: not set."""
    if not prices:
        return None
    wanted = product_key(product)
    return next((price for name, price in prices.items() if product_key(name) == wanted), None)


def cost(total: Span, price_per_hour: float | None) -> Span | None:
    """What so many seconds of the GPU cost; None without a price. What else the node costs is not known."""
    if price_per_hour is None:
        return None
    return total.scale(price_per_hour / SECONDS_PER_HOUR)
