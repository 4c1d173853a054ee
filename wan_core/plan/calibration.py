"""What was measured corrects what is estimated: bounded, said, and not at all where nothing was measured.

A plan is corrected by measurements of the very same plan on the same GPU product, by the ratio of measured to
estimated. Seconds a step take the ratio of the shape that is nearest by tokens of a forward; memory takes
the largest ratio of all shapes, one for the plan: so what is smaller never needs more. Where several were
measured of one shape, their median counts. Not corrected: host memory, text, decoding, loading.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from statistics import median
from types import MappingProxyType
from typing import Generic, TypeVar

from pydantic import Field

from wan_core.api.model import Document
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.gpus import find_gpu
from wan_core.plan.duration import TimeEstimate, estimate_time
from wan_core.plan.memory import DEVICE_BASE_GIB, MARGIN, MemoryEstimate, estimate_memory
from wan_core.plan.product_names import product_key
from wan_core.plan.rates import DEFAULT_RATES, Rates
from wan_core.plan.request import Request
from wan_core.plan.shapes import count_tokens
from wan_core.plan.span import Span, point
from wan_core.plan.techniques import Plan

# Bounds of what seconds a step are multiplied by: beyond that something else was measured.
TIME_FACTORS = (1 / 3, 3.0)
# Bounds of what memory is multiplied by. Less is not believed: too little room ends an attempt.
MEMORY_FACTORS = (0.9, 1.5)
# Ratios that are kept, of plans on products: a ladder asks for the same ones again and again.
RATIOS_MAX = 4096
NO_SHAPE: Mapping[str, int] = MappingProxyType({"width": 0, "height": 0, "frames": 1})

E = TypeVar("E")


class Measurement(Document):
    """What a plan took on one GPU: the peak of torch's allocator (on a CPU of the process), seconds a step.

    `plan` is its label, which holds the model. `guided`: each step took two passes. `count`: of how many
    attempts it is the median. `source` says where from, for people.
    """

    product: str = Field(min_length=1, max_length=253)
    plan: str = Field(min_length=1, max_length=253)
    width: int = Field(ge=1, le=9999)
    height: int = Field(ge=1, le=9999)
    frames: int = Field(ge=1, le=1001)
    guided: bool = True
    peak_gib: float | None = Field(None, gt=0)
    seconds_per_step: float | None = Field(None, gt=0)
    count: int = Field(1, ge=1)
    source: str = Field("", max_length=253)

    @property
    def words(self) -> str:
        """Where its figures are from: `7 measured on L4 at 832x480x81 (results in status)`."""
        source = f" ({self.source})" if self.source else ""
        return f"{self.count} measured on {self.product} at {self.width}x{self.height}x{self.frames}{source}"


@dataclass(frozen=True)
class Calibration:
    """The table. Which order it is in does not matter."""

    measurements: tuple[Measurement, ...] = ()

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash(self.measurements)

    @cached_property
    def _rows(self) -> Mapping[tuple[str, str], tuple[Measurement, ...]]:
        rows: dict[tuple[str, str], tuple[Measurement, ...]] = {}
        for one in self.measurements:
            key = product_key(one.product), one.plan
            rows[key] = (*rows.get(key, ()), one)
        return MappingProxyType(rows)

    def of(self, product: str, plan: Plan) -> tuple[Measurement, ...]:
        """What was measured of this very plan there."""
        return self._rows.get((product_key(product), plan.label), ()) if self.measurements else ()


NO_CALIBRATION = Calibration()


@dataclass(frozen=True)
class Corrected(Generic[E]):
    """An estimate with what it was multiplied by; `note` says so, and is empty if nothing was measured."""

    estimate: E
    factor: float = 1.0
    note: str = ""


@dataclass(frozen=True)
class Ratio:
    """Measured over estimated for one shape."""

    tokens: int
    value: float
    words: str


def correct_memory(
    calibration: Calibration,
    estimate: MemoryEstimate,
    plan: Plan,
    card: ModelCard,
    request: Request,
    product: str,
) -> Corrected[MemoryEstimate]:
    """`estimate` by the peaks that were measured of `plan` on `product`; what CUDA itself takes stays."""
    rows = calibration.of(product, plan)
    found = _memory_ratios(rows, plan, card, _bare(request)) if rows else ()
    if not found:
        return Corrected(estimate)
    base = _margin(plan)[0]
    most = max(found, key=lambda r: (r.value, r.words))
    factor = _bounded(most.value, MEMORY_FACTORS)
    phases = ("text_gib", "denoise_gib", "decode_gib")
    update = {name: _up((getattr(estimate, name) - base) * factor + base) for name in phases}
    if plan.device == "cpu":
        update["host_gib"] = max(update.values())
    return Corrected(estimate.model_copy(update=update), factor, _note("memory", factor, most))


def correct_time(
    calibration: Calibration,
    estimate: TimeEstimate,
    plan: Plan,
    card: ModelCard,
    request: Request,
    product: str,
    rates: Rates = DEFAULT_RATES,
) -> Corrected[TimeEstimate]:
    """`estimate` by the seconds a step that were measured of `plan` on `product`, guided or not as it is.

    Of the very shape that was measured they are a point; else the range keeps its width.
    """
    rows = calibration.of(product, plan)
    found = _time_ratios(rows, plan, card, _bare(request), product, rates) if rows else ()
    if not found:
        return Corrected(estimate)
    tokens = count_tokens(card, request)
    nearest = min(found, key=lambda r: (abs(math.log(r.tokens / tokens)), r.tokens))
    factor = _bounded(nearest.value, TIME_FACTORS)
    step = estimate.seconds_per_step
    corrected = point(step.middle * factor) if nearest.tokens == tokens else step.scale(factor)
    note = _note("seconds a step", factor, nearest)
    update = {
        "seconds_per_step": corrected,
        "denoise_s": _denoising(estimate, corrected, request.steps),
        "basis": "measured",
        "sources": (*estimate.sources, note),
    }
    return Corrected(estimate.model_copy(update=update), factor, note)


@lru_cache(maxsize=RATIOS_MAX)
def _memory_ratios(
    rows: tuple[Measurement, ...], plan: Plan, card: ModelCard, request: Request
) -> tuple[Ratio, ...]:
    base, margin = _margin(plan)

    def ratio(one: Measurement) -> float | None:
        if one.peak_gib is None:
            return None
        return margin * one.peak_gib / (estimate_memory(plan, card, _shaped(request, one)).peak_gib - base)

    return _ratios(rows, card, request, ratio)


@lru_cache(maxsize=RATIOS_MAX)
def _time_ratios(
    rows: tuple[Measurement, ...],
    plan: Plan,
    card: ModelCard,
    request: Request,
    product: str,
    rates: Rates,
) -> tuple[Ratio, ...]:
    gpu = find_gpu(product)

    def ratio(one: Measurement) -> float | None:
        expected = estimate_time(plan, card, _shaped(request, one), gpu, rates)
        if one.seconds_per_step is None or one.guided != request.guided or expected is None:
            return None
        return one.seconds_per_step / expected.seconds_per_step.middle

    return _ratios(rows, card, request, ratio)


def _ratios(
    rows: Sequence[Measurement],
    card: ModelCard,
    request: Request,
    ratio: Callable[[Measurement], float | None],
) -> tuple[Ratio, ...]:
    """One for each number of tokens that was measured: the median."""
    by_tokens: dict[int, list[tuple[float, Measurement]]] = {}
    for one in rows:
        value = ratio(one)
        if value is not None:
            tokens = count_tokens(card, _shaped(request, one))
            by_tokens.setdefault(tokens, []).append((value, one))
    return tuple(_median_ratio(tokens, pairs) for tokens, pairs in by_tokens.items())


def _median_ratio(tokens: int, pairs: Sequence[tuple[float, Measurement]]) -> Ratio:
    """Each counts as often as it stands for attempts."""
    values = [value for value, one in pairs for _ in range(one.count)]
    first = min((one for _, one in pairs), key=lambda one: one.words)
    whole = first.model_copy(update={"count": len(values)})
    return Ratio(tokens, median(values), whole.words)


def _bare(request: Request) -> Request:
    """What ratios depend on: guidance, and whether there is an image. Its shape is that of a measurement."""
    return request.bare().model_copy(update=NO_SHAPE)


def _margin(plan: Plan) -> tuple[float, float]:
    """What of an estimate is not torch's own, in GiB, and what its allocator takes more than it counts."""
    return (DEVICE_BASE_GIB, MARGIN) if plan.device == "cuda" else (0.0, 1.0)


def _shaped(request: Request, one: Measurement) -> Request:
    return request.model_copy(update={"width": one.width, "height": one.height, "frames": one.frames})


def _bounded(value: float, bounds: tuple[float, float]) -> float:
    return min(max(value, bounds[0]), bounds[1])


def _note(what: str, factor: float, ratio: Ratio) -> str:
    bounded = "" if factor == ratio.value else f", bounded from x{ratio.value:.2f}"
    return f"{what} x{factor:.2f}{bounded}: {ratio.words}"


def _denoising(estimate: TimeEstimate, step: Span, steps: int) -> Span:
    """The new steps, and what was in denoising besides steps."""
    old, before = estimate.denoise_s, estimate.seconds_per_step
    low, high = old.low - steps * before.low, old.high - steps * before.high
    return Span(max(0.0, low) + steps * step.low, max(0.0, high) + steps * step.high)


def _up(gib: float) -> float:
    """To a hundredth above, as estimates are; one that is multiplied by 1 stays."""
    return math.ceil(gib * 100 - 1e-6) / 100
