"""What is known beside the request and the inventory when a plan is made: rates, prices, measurements."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from wan_core.plan.calibration import NO_CALIBRATION, Calibration
from wan_core.plan.criteria import Order
from wan_core.plan.prices import Prices
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
