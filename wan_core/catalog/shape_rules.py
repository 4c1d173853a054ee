"""Which numbers of frames and which sizes a model makes: why not others, and the nearest that it does.

Of a card and numbers alone; which field they came from is for the caller to say.
"""

from __future__ import annotations

from math import sqrt

from wan_core.catalog.architecture import Card


def frames_fault(card: Card, frames: int) -> str:
    """Why `card` does not make so many frames, and the nearest numbers; empty if it does."""
    rule = card.frame_rule
    if frames in rule.choices:
        return ""
    near = ", ".join(str(f) for f in rule.nearest(frames))
    if frames > rule.most:
        return f"{frames} is more than {card.id} makes, {rule.most}; nearest: {near}"
    if frames < rule.first:
        return f"{frames} is fewer than {card.id} makes, {rule.first}; nearest: {near}"
    return f"{frames} is not {rule.form}; nearest: {near}"


def size_fault(card: Card, width: int, height: int) -> str:
    """Why `card` does not make this size, and the nearest sizes; empty if it does."""
    stride, most = card.stride, card.max_pixels
    largest = largest_size(card, width, height, most)
    if width % stride or height % stride:
        below = (_down(width, stride), _down(height, stride))
        above = (-(-width // stride) * stride, -(-height // stride) * stride)
        near = [size for size in dict.fromkeys((below, above)) if size[0] * size[1] <= most]
        sizes = ", ".join(f"{w}x{h}" for w, h in near or [largest])
        return f"{width}x{height} is not a multiple of {stride} for {card.id}; nearest: {sizes}"
    if width * height > most:
        pixels = f"{width * height} pixels, {card.id} makes at most {most}"
        return f"{width}x{height} is {pixels}; nearest: {largest[0]}x{largest[1]}"
    return ""


def largest_size(card: Card, width: int, height: int, pixels: float) -> tuple[int, int]:
    """The largest size on the stride, of at most `pixels` and this aspect; one stride a side at least."""
    scale = min(1.0, sqrt(pixels / (width * height)))
    return _down(int(width * scale), card.stride), _down(int(height * scale), card.stride)


def size_of(resolution: str) -> tuple[int, int]:
    """`1280x720` -> (1280, 720)."""
    width, height = resolution.split("x")
    return int(width), int(height)


def _down(side: int, stride: int) -> int:
    return max(stride, side // stride * stride)
