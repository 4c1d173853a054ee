"""Which scales of guidance a model takes: one of a single expert, high and low of two."""

from __future__ import annotations

from wan_core.api.spec import Guidance
from wan_core.catalog.architecture import Card, Defaults


def guidance_fault(card: Card, given: Guidance | None) -> str:
    """Why `card` does not take these scales, and which it takes; empty if it does, or none are given."""
    wanted = {"scale"} if card.experts == 1 else {"high", "low"}
    if given is None or set(given.to_dict()) == wanted:
        return ""
    takes = "one expert: give scale" if card.experts == 1 else "two experts: give high and low"
    return f"{card.id} has {takes}"


def choose_scales(defaults: Defaults, given: Guidance | None) -> tuple[float, float]:
    """(high, low) as given, or else the model's own; both the same for one expert."""
    high, low = defaults.guidance
    if given is None:
        return high, low
    return given.high or given.scale or high, given.low or given.scale or low
