"""What people call the shape of a picture. A size has the aspect that it is nearest to: 832x480 is 16:9."""

from __future__ import annotations

from math import log

ASPECTS = ("16:9", "3:2", "4:3", "1:1", "3:4", "2:3", "9:16", "21:9", "9:21")


def aspect_of(width: int, height: int) -> str:
    """The nearest of `ASPECTS`, by ratio."""
    return min(ASPECTS, key=lambda aspect: abs(log(width / height) - log(ratio_of(aspect))))


def ratio_of(aspect: str) -> float:
    """Width over height."""
    width, height = aspect.split(":")
    return int(width) / int(height)
