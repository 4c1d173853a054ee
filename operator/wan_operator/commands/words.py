"""Numbers and plans in few words, for the cells of tables. Pure."""

from __future__ import annotations

from wan_core.plan.ladder_words import UNMEASURED, percents, words_of_seconds
from wan_core.plan.request import Request
from wan_core.plan.rungs import Rung
from wan_core.plan.span import Span
from wan_core.plan.techniques import Plan


def settings_words(plan: Plan) -> str:
    """`bf16, resident`: the plan without its model and, on a GPU, without its device."""
    device = "CPU: " if plan.device == "cpu" else ""
    return device + ", ".join(plan.techniques)


def shape_words(width: int, height: int, frames: int) -> str:
    return f"{width}x{height}x{frames}"


def request_words(request: Request) -> str:
    """`1280x720, 81 frames (5.1 s at 16 fps), 40 steps, quality lossless`."""
    length = words_of_seconds(request.frames / request.fps)
    frames = "a still" if request.frames == 1 else f"{request.frames} frames ({length} at {request.fps} fps)"
    size = f"{request.width}x{request.height}"
    return f"{size}, {frames}, {request.steps} steps, quality {request.quality.value}"


def share_words(rung: Rung) -> str:
    """`21.3 (89 %)`: the peak, and its share of the device."""
    gib, shares = rung.need.peak_gib, percents(rung)
    return f"{gib:.1f}" if shares is None else f"{gib:.1f} ({max(shares):.0f} %)"


def span_words(span: Span | None) -> str:
    """`25 min`, `20-30 min`, `50 s-2 min`."""
    if span is None:
        return UNMEASURED
    low, high = words_of_seconds(span.low), words_of_seconds(span.high)
    if low == high:
        return low
    (least, unit), (_, other) = low.split(" "), high.split(" ")
    return f"{least}-{high}" if unit == other else f"{low}-{high}"


def cost_words(cost: Span | None) -> str:
    """`1.20`, `0.95-1.40`; empty without a price."""
    if cost is None:
        return ""
    low, high = f"{cost.low:.2f}", f"{cost.high:.2f}"
    return low if low == high else f"{low}-{high}"


def time_words(rung: Rung) -> str:
    """How long the whole video takes on the GPU that the rung's figures are of."""
    return span_words(rung.time.total if rung.time is not None else None)
