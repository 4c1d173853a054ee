"""What a request asks of a model that the model was not taught: allowed, but nobody knows how it looks. Pure.

Shorter videos than it was taught with are not told of: only of longer ones are faults known.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log

from wan_core.catalog.architecture import Card, Sizes
from wan_core.plan.request import Request


def untrained(card: Card, request: Request) -> str:
    """One line on size, length and frame rate, with what it was taught; empty if all of it was taught."""
    found = "; ".join(_found(card, request))
    return f"{card.id} was not taught this: {found}" if found else ""


def is_trained_size(sizes: Sizes, width: int, height: int) -> bool:
    """Whether it is one of the sizes, or has the area of one where only areas count."""
    if not sizes.by_area:
        return (width, height) in sizes.trained
    more = (width + sizes.stride) * (height + sizes.stride)  # sides are rounded down to the stride
    return any(width * height <= w * h < more for w, h in sizes.trained)


def _found(card: Card, request: Request) -> Iterator[str]:
    width, height, frames = request.width, request.height, request.frames
    if not is_trained_size(card.sizes, width, height):
        sizes = card.sizes.trained
        near = sorted(sizes, key=lambda size: abs(log(width * height / (size[0] * size[1]))))[:2]
        listed = " and ".join(f"{w}x{h}" for w, h in near)
        yield f"{width}x{height}, it was with {listed}{', in any aspect' if card.sizes.by_area else ''}"
    longest = max(card.frame_rule.trained)
    if frames > longest:
        yield f"{frames} frames, it was with {longest}"
    taught, fps = card.defaults.fps, request.fps
    if fps != taught and frames > 1:
        pace = f"{fps / taught:.2g} times as fast" if fps > taught else f"{taught / fps:.2g} times as slow"
        yield f"{fps} frames a second, it was with {taught}: motion looks {pace}"
