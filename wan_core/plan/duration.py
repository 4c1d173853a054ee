"""How long a plan takes, by phase: operations over what a device sustains, bytes over what carries them.

A guess is a range, and says so. Loading is from weights that the host's memory still holds to weights that
the object store must bring. Not covered: waiting for a GPU, sharing one, pulling the image, several attempts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from wan_core.api.model import Document
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.gpu_card import GpuCard, Precision
from wan_core.plan.efficiency import CARDS_MAX, VAE_SHARE, Basis, find_efficiency
from wan_core.plan.host import TILED, pinned_bytes
from wan_core.plan.operations import Operations, step_operations, text_flops
from wan_core.plan.peaks import find_peak
from wan_core.plan.rates import DEFAULT_RATES, HOST_CORES, HOST_TFLOPS_PER_CORE, Rates, seconds_for
from wan_core.plan.request import Request
from wan_core.plan.shapes import (
    BF16_BYTES,
    FP32_BYTES,
    streamed_block_bytes,
    text_bytes,
    transformer_bytes,
    vae_bytes,
    weights_bytes,
)
from wan_core.plan.span import NOTHING, Span, add, multiply, point
from wan_core.plan.techniques import Plan
from wan_core.plan.vae_work import decode_flops, encode_flops

# Importing torch, transformers and diffusers (docs/benchmarks.md, The demo).
START_S = point(5.0)
# Attention and operations measured once, one block compiled by Inductor. Assumed: no GPU was at hand.
COMPILE_S = Span(5.0, 60.0)
# What more and smaller kernels take longer. Assumed.
SLICED = Span(1.0, 1.15)
# Both passes at once: 2 % less on H100 with 14B, 2 % more on L40S with 1.3B (hao-ai-lab/FastVideo#1416).
BATCHED = Span(0.98, 1.02)
# x264, preset medium: at worst as measured with moving noise at 832x480 on 2 busy cores of an AMD EPYC
# (docs/benchmarks.md, The planner's time), at best what 16 cores are assumed to do.
VIDEO_PIXELS_PER_S = Span(1e7, 1e8)
# PUT of the video and its manifest, and reading back what arrived. Assumed.
UPLOAD_S = Span(0.5, 3.0)

# wan-tiny by our transformer on 2 cores of an AMD EPYC: a step of 1.07 GFLOP takes 16.1 ms at its best and
# 32.7 ms in a whole run beside other programs (docs/benchmarks.md, The planner's time).
CPU_FLOPS = Span(3.3e10, 6.7e10)
# Likewise: decoding 17 frames of 64x64, and a text.
CPU_DECODE_S, CPU_TEXT_S = Span(0.8, 1.5), Span(0.01, 0.1)
CPU_SOURCE = "wan-tiny on 2 cores of an AMD EPYC (docs/benchmarks.md); another CPU takes another time"
TEXT_ON_CPU = (
    f"text on the CPU: {HOST_TFLOPS_PER_CORE} TFLOP/s a core in float32 (docs/benchmarks.md), "
    f"{HOST_CORES.low} to {HOST_CORES.high} cores assumed"
)


class TimeEstimate(Document):
    """Seconds by phase for one video, once a device is there. `text_s` holds encoding an image, too.

    A ladder makes hundreds: those made here are not validated again (`model_construct`).

    `basis` is that of denoising; `sources` say where its figures are from, and what corrected them.
    """

    load_s: Span
    compile_s: Span
    text_s: Span
    denoise_s: Span
    decode_s: Span
    upload_s: Span
    seconds_per_step: Span
    basis: Basis
    sources: tuple[str, ...] = ()

    @property
    def total(self) -> Span:
        """All phases, one after the other."""
        return add(self.load_s, self.compile_s, self.text_s, self.denoise_s, self.decode_s, self.upload_s)


@dataclass(frozen=True)
class Pace:
    """What a device sustains, operations a second: in the transformer by kind of work, and in the VAE."""

    linear: Span
    attention: Span
    vae: Span
    basis: Basis
    source: str


def estimate_time(
    plan: Plan, card: ModelCard, request: Request, gpu: GpuCard | None, rates: Rates = DEFAULT_RATES
) -> TimeEstimate | None:
    """What `plan` takes for `request` on this GPU, ignored for a CPU; None of a product that nobody knows."""
    if plan.device == "cpu":
        return _on_cpu(card, request, rates)
    pace = find_pace(gpu, "fp32" if plan.uses("fp32") else "bf16") if gpu is not None else None
    if pace is None:
        return None
    step = step_seconds(plan, card, request, pace, rates)
    moved = moved_once(plan, card)
    sources = (pace.source, TEXT_ON_CPU) if plan.uses("text-encoder-cpu") else (pace.source,)
    return TimeEstimate.model_construct(
        load_s=load_seconds(plan, card, rates),
        compile_s=COMPILE_S,
        text_s=add(
            _text_seconds(plan, card, pace, rates), seconds_for(encode_flops(card, request), pace.vae)
        ),
        denoise_s=add(step.scale(request.steps), seconds_for(moved, rates.bus)),
        decode_s=decode_seconds(plan, card, request, pace),
        upload_s=upload_seconds(request),
        seconds_per_step=step,
        basis=pace.basis,
        sources=sources,
    )


@lru_cache(maxsize=CARDS_MAX)
def find_pace(gpu: GpuCard, precision: Precision) -> Pace | None:
    """What `gpu` sustains; None where it has no such precision."""
    peak, plain = find_peak(gpu, precision), find_peak(gpu, "fp32")
    if peak is None or plain is None:
        return None
    share = find_efficiency(gpu, precision)
    return Pace(
        multiply(share.linear, peak),
        multiply(share.attention, peak),
        multiply(VAE_SHARE, plain),
        share.basis,
        share.source,
    )


def step_seconds(plan: Plan, card: ModelCard, request: Request, pace: Pace, rates: Rates) -> Span:
    """One step, all its passes. Blocks that are streamed are hidden where computing takes longer."""
    computing = compute_seconds(step_operations(card, request), pace)
    if plan.uses("sliced-attention"):
        computing = multiply(computing, SLICED)
    if plan.uses("guidance-batching"):
        computing = multiply(computing, BATCHED)
    streaming = seconds_for(streamed_bytes(plan, card, request), rates.bus)
    return Span(max(computing.low, streaming.low), max(computing.high, streaming.high))


def compute_seconds(operations: Operations, pace: Pace) -> Span:
    """So many operations, one kind after the other."""
    return add(seconds_for(operations.linear, pace.linear), seconds_for(operations.attention, pace.attention))


def streamed_bytes(plan: Plan, card: ModelCard, request: Request) -> float:
    """What crosses the bus in each step: every block once a pass, or once for both."""
    if not plan.uses("block-streaming"):
        return 0.0
    times = 1 if plan.uses("guidance-batching") else request.passes
    return float(
        times * card.transformer.layers * streamed_block_bytes(card.transformer, _number_bytes(plan))
    )


def moved_once(plan: Plan, card: ModelCard) -> float:
    """Bytes that cross the bus after loading, because components come to the device when it is their turn."""
    if plan.uses("resident"):
        return 0.0
    number = _number_bytes(plan)
    text = 0 if plan.uses("text-encoder-cpu") else text_bytes(card.text_encoder, number)
    expert = transformer_bytes(card.transformer, number) if plan.uses("component-offload") else 0
    return float(text + card.experts * expert + vae_bytes(card))


def load_seconds(plan: Plan, card: ModelCard, rates: Rates) -> Span:
    """From the page cache at the best to through the network, the disk and into place at the worst."""
    size = weights_bytes(card)
    way = rates.bus if plan.uses("resident") and plan.device == "cuda" else rates.host
    pinned = pinned_bytes(card, _number_bytes(plan)) if plan.uses("block-streaming") else 0
    placed = add(seconds_for(size, way), seconds_for(pinned, rates.pinning))
    read = seconds_for(size, rates.disk)
    fetched = seconds_for(size, rates.object_store)
    return Span(START_S.low + placed.low, START_S.high + fetched.high + read.high + placed.high)


def decode_seconds(plan: Plan, card: ModelCard, request: Request, pace: Pace) -> Span:
    """The VAE in float32, overlaps of tiles twice."""
    once = seconds_for(decode_flops(card, request), pace.vae)
    return once.scale(TILED) if plan.uses("vae-tiling") else once


def upload_seconds(request: Request) -> Span:
    """Making the file, then sending it."""
    pixels = request.frames * request.width * request.height
    return add(seconds_for(pixels, VIDEO_PIXELS_PER_S), UPLOAD_S)


def _on_cpu(card: ModelCard, request: Request, rates: Rates) -> TimeEstimate:
    step = seconds_for(step_operations(card, request).total, CPU_FLOPS)
    size = weights_bytes(card)
    return TimeEstimate.model_construct(
        load_s=add(START_S, Span(0.0, size / rates.object_store.low)),
        compile_s=NOTHING,
        text_s=CPU_TEXT_S,
        denoise_s=step.scale(request.steps),
        decode_s=CPU_DECODE_S,
        upload_s=upload_seconds(request),
        seconds_per_step=step,
        basis="measured",
        sources=(CPU_SOURCE,),
    )


def _text_seconds(plan: Plan, card: ModelCard, pace: Pace, rates: Rates) -> Span:
    return seconds_for(text_flops(card), rates.host_flops if plan.uses("text-encoder-cpu") else pace.linear)


def _number_bytes(plan: Plan) -> int:
    """Bytes of a weight where it computes."""
    return FP32_BYTES if plan.uses("fp32") else BF16_BYTES
