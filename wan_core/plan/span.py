"""From so much to so much: an estimate that says how well it is known. A point where both ends are equal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

Bound = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class Span:
    """Both ends included, neither below zero; the unit is that of the field's name.

    Not a Document, though it stands in some: a ladder makes thousands.
    """

    low: Bound
    high: Bound

    @property
    def middle(self) -> float:
        """What to rank by."""
        return (self.low + self.high) / 2

    @property
    def is_point(self) -> bool:
        return self.low == self.high

    def scale(self, factor: float) -> Span:
        """Both ends times `factor` >= 0."""
        return Span(self.low * factor, self.high * factor)


def point(value: float) -> Span:
    """Exactly so much."""
    return Span(value, value)


NOTHING = point(0.0)


def add(*spans: Span) -> Span:
    """One after the other."""
    return Span(sum([s.low for s in spans]), sum([s.high for s in spans]))


def multiply(one: Span, other: Span) -> Span:
    """The least and the most of both."""
    return Span(one.low * other.low, one.high * other.high)


def widest(*spans: Span) -> Span:
    """The least that holds all of them."""
    return Span(min(s.low for s in spans), max(s.high for s in spans))
