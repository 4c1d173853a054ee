"""The peak of a GPU in a precision: as its source says, or where none does by the ratios of its kin."""

from __future__ import annotations

from functools import lru_cache

from wan_core.catalog.gpu_card import GpuCard, Precision
from wan_core.catalog.gpus import GPUS
from wan_core.plan.span import Span, point

TERA = 1e12
CARDS_MAX = 2048


@lru_cache(maxsize=CARDS_MAX)
def find_peak(gpu: GpuCard, precision: Precision) -> Span | None:
    """Operations a second, dense; None where the hardware lacks the precision, or nothing tells of it.

    Kin are the cards of one generation: those that have both this precision and another one that is known.
    """
    if (known := gpu.tflops.get(precision)) is not None:
        return point(known * TERA)
    if precision in gpu.cannot:
        return None
    guesses = [
        peak * other.tflops[precision] / other.tflops[base]
        for base, peak in gpu.tflops.items()
        for other in GPUS
        if _generation(other) == _generation(gpu) and precision in other.tflops and base in other.tflops
    ]
    return Span(min(guesses) * TERA, max(guesses) * TERA) if guesses else None


def _generation(gpu: GpuCard) -> str:
    return gpu.architecture if gpu.compute_capability is None else str(gpu.compute_capability[0])
