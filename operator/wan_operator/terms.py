"""What is known beside the request and the inventory when a plan is made: rates, prices, measurements."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType

from wan_core.catalog.gpu_names import refuse_name
from wan_core.catalog.gpus import find_gpu
from wan_core.plan.calibration import NO_CALIBRATION, Calibration
from wan_core.plan.criteria import Order
from wan_core.plan.prices import Prices
from wan_core.plan.product_names import product_key
from wan_core.plan.rates import DEFAULT_RATES, Rates


@dataclass(frozen=True)
class Terms:
    """All of it may be a key: ladders are kept by it. `price_list` is sorted by product.

    `order`: whether the fastest or the cheapest plan of a tier comes first.
    """

    rates: Rates = DEFAULT_RATES
    price_list: tuple[tuple[str, float], ...] = ()
    order: Order = "time"
    calibration: Calibration = NO_CALIBRATION

    @property
    def prices(self) -> Prices:
        return MappingProxyType(dict(self.price_list))


NO_TERMS = Terms()
PRICES = "planning.pricesPerGpuHour"


def find_unknown_prices(prices: Iterable[str], products: Iterable[str] = ()) -> tuple[str, ...]:
    """A line for each name with a price that means no GPU of the table, nor any of `products`.

    It may be right for all that: a cluster may have GPUs that the table lacks.
    """
    there = {product_key(product) for product in products}
    unknown = (name for name in prices if find_gpu(name) is None and product_key(name) not in there)
    only = "its price counts only where a node's label says just that"
    return tuple(f"{refuse_name(name, PRICES)}; {only}" for name in unknown)
