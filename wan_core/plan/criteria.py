"""By what plans are judged besides memory: rates, prices, what was measured, and what counts more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.gpus import find_gpu
from wan_core.plan.calibration import NO_CALIBRATION, Calibration, correct_memory, correct_time
from wan_core.plan.duration import TimeEstimate, estimate_time
from wan_core.plan.memory import MemoryEstimate, estimate_memory
from wan_core.plan.prices import NO_PRICES, Prices, cost, find_price
from wan_core.plan.rates import DEFAULT_RATES, Rates
from wan_core.plan.request import Request
from wan_core.plan.span import Span
from wan_core.plan.techniques import Plan

Order = Literal["time", "cost"]


@dataclass(frozen=True)
class Criteria:
    """What whoever asks has set."""

    order: Order = "time"
    rates: Rates = DEFAULT_RATES
    prices: Prices = field(default_factory=lambda: NO_PRICES)
    calibration: Calibration = NO_CALIBRATION


DEFAULT_CRITERIA = Criteria()


@dataclass(frozen=True)
class Need:
    """Memory on one product. `note` says what corrected it; empty if nothing did."""

    memory: MemoryEstimate
    note: str = ""


@dataclass(frozen=True)
class Course:
    """Time and cost on one product, each None where it is unknown; `note` as above."""

    time: TimeEstimate | None
    cost: Span | None = None
    note: str = ""

    def rank(self, order: Order) -> tuple[bool, float, bool, float]:
        """Less is better: what was asked for first; what is unknown comes last."""
        time = self.time.total.middle if self.time is not None else None
        price = self.cost.middle if self.cost is not None else None
        by_time, by_cost = (time is None, time or 0.0), (price is None, price or 0.0)
        return (*by_cost, *by_time) if order == "cost" else (*by_time, *by_cost)


NOWHERE = Course(None)


def find_need(criteria: Criteria, plan: Plan, card: ModelCard, request: Request, product: str) -> Need:
    """What `plan` needs for `request` on `product`."""
    memory = estimate_memory(plan, card, request)
    if not criteria.calibration.measurements:
        return Need(memory)
    corrected = correct_memory(criteria.calibration, memory, plan, card, request, product)
    return Need(corrected.estimate, corrected.note)


def find_course(criteria: Criteria, plan: Plan, card: ModelCard, request: Request, product: str) -> Course:
    """What `plan` takes for `request` on `product`."""
    time = estimate_time(plan, card, request, find_gpu(product), criteria.rates)
    if time is None:
        return Course(None)
    note = ""
    if criteria.calibration.measurements:
        corrected = correct_time(criteria.calibration, time, plan, card, request, product, criteria.rates)
        time, note = corrected.estimate, corrected.note
    return Course(time, cost(time.total, find_price(criteria.prices, product)), note)
