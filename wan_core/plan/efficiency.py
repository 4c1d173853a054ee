"""What share of its dense peak a GPU sustains while it denoises, by class, precision and attention backend.

Shares are those of whole steps: what is bound by memory is in that of the linear layers. They come from other
programs; ours has not run on a GPU, so the slowest and the fastest public figure are the ends of a range, and
a point is all that was published. Where one program has figures at two sizes, both shares were solved from
them. Other cards of the class, and classes without a figure, get a wider range and say "unmeasured".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

from wan_core.catalog.gpu_card import GpuCard
from wan_core.catalog.gpus import GPUS
from wan_core.plan.span import Span, point, widest

Basis = Literal["measured", "published", "unmeasured"]
"""Whether a figure is our own measurement, somebody's of another program, or a guess."""


@dataclass(frozen=True)
class Published:
    """Shares of the peak, and the cards that they were published for."""

    linear: Span
    attention: Span
    cards: frozenset[str]
    source: str


@dataclass(frozen=True)
class Efficiency:
    """Shares of the peak, for one card. `backend` is the attention that they are for."""

    linear: Span
    attention: Span
    backend: str
    basis: Basis
    source: str


# Which attention the runner is expected to find fastest: cuDNN's is 1.7 to 2.3 times as fast as PyTorch's own
# choice on Hopper, and slower on A100, A10G and RTX PRO 6000 (huggingface/transformers#48163).
BACKENDS: Mapping[str, str] = MappingProxyType(
    {
        "Blackwell": "cudnn",
        "Hopper": "cudnn",
        "Ada/Ampere": "flash",
        "older": "efficient",
        "ROCm": "flash",
        "XPU": "sdpa",
    }
)
BACKEND_OF_CLASS: Mapping[str, str] = MappingProxyType({"sm_120": "flash", "sm_121": "flash"})

# By GPU class, precision, attention backend.
PUBLISHED: Mapping[tuple[str, str, str], Published] = MappingProxyType(
    {
        ("sm_100", "bf16", "cudnn"): Published(
            point(0.58),
            point(0.58),
            frozenset({"B200"}),
            "TensorRT-LLM blog 25, t2v-A14B 720p on B200 with FA4: 1294 of 2250 TFLOP/s; cuDNN is no slower "
            "than FA4 there (sglang#33655)",
        ),
        ("sm_120", "bf16", "flash"): Published(
            Span(0.55, 0.69),
            Span(0.55, 0.69),
            frozenset({"RTX 5090"}),
            "TurboDiffusion's baseline, i2v-A14B 720p on RTX 5090: 4549 s, if for 40 steps, or for 50",
        ),
        ("sm_90", "bf16", "cudnn"): Published(
            Span(0.32, 0.61),
            Span(0.60, 0.71),
            frozenset({"H100 SXM", "H200"}),
            "linear: diffusers, 9.77 s a step at 480p on H100 (LightX2V, 2025-12), to sglang, 5.14 s on H200 "
            "(sglang#25483) and 19.39 s at 720p (sglang#18149); attention: cuDNN, 595 TFLOP/s "
            "(FlashAttention-3 paper), to sglang's",
        ),
        ("sm_89", "bf16", "flash"): Published(
            Span(0.59, 0.75),
            Span(0.59, 0.75),
            frozenset({"RTX 4090", "RTX 4090 D"}),
            "ti2v-5B 720p on RTX 4090, 534.7 s in all (Wan2.2, comp_effic.png), to diffusers, 30.5 s a step "
            "at 480p on RTX 4090 D (LightX2V, 2025-12)",
        ),
        ("sm_80", "bf16", "flash"): Published(
            Span(0.26, 0.43),
            point(0.74),
            frozenset({"A100 SXM 80GB", "A100 PCIe 80GB", "A100 SXM 40GB", "A100 PCIe 40GB"}),
            "t2v-A14B on A100, 785.7 s at 480p and 2735.7 s at 720p (Wan2.2, comp_effic.png); the low end by "
            "FastVideo, 3.78 s a step of Wan2.1 1.3B at 480p, compiled",
        ),
    }
)
# What another card of a class may sustain less, because of its power limit. Assumed.
OTHER_CARD = 0.6
# Where nothing is published of a whole profile: linear layers, attention. Assumed, hence wide.
ASSUMED: Mapping[tuple[str, str], tuple[Span, Span]] = MappingProxyType(
    {
        ("older", "fp32"): (Span(0.4, 0.9), Span(0.2, 0.7)),
        ("ROCm", "bf16"): (Span(0.2, 0.6), Span(0.15, 0.5)),
        ("XPU", "bf16"): (Span(0.15, 0.6), Span(0.1, 0.4)),
    }
)
ANYWHERE = (Span(0.15, 0.8), Span(0.1, 0.8))
# float32 without TF32, in the VAE's convolutions. Assumed; PyTorch by default would use TF32 (decision 019).
VAE_SHARE = Span(0.3, 0.8)
CARDS_MAX = 1024


@lru_cache(maxsize=CARDS_MAX)
def find_efficiency(gpu: GpuCard, precision: str) -> Efficiency:
    """The shares for a card: as published of it, of its class, of its profile, or assumed."""
    kind = class_of(gpu)
    backend = BACKEND_OF_CLASS.get(kind, BACKENDS[gpu.profile])
    row = PUBLISHED.get((kind, precision, backend))
    if row is None:
        return _guess(gpu.profile, precision, backend)
    if gpu.name in row.cards:
        return Efficiency(row.linear, row.attention, backend, "published", row.source)
    words = f"unmeasured: of {' and '.join(sorted(row.cards))}, and down to x{OTHER_CARD} of it"
    return Efficiency(_widen(row.linear), _widen(row.attention), backend, "unmeasured", words)


def class_of(gpu: GpuCard) -> str:
    """`sm_89` by compute capability; the architecture's name where there is none."""
    capability = gpu.compute_capability
    return gpu.architecture if capability is None else "sm_{}{}".format(*capability)


def _guess(profile: str, precision: str, backend: str) -> Efficiency:
    named = {card.name for card in GPUS if card.profile == profile}
    kin = [row for (_, p, _), row in PUBLISHED.items() if p == precision and row.cards & named]
    if kin:
        linear, attention = widest(*(r.linear for r in kin)), widest(*(r.attention for r in kin))
        words = f"unmeasured: from the slowest to the fastest published of {profile}"
        return Efficiency(_widen(linear), _widen(attention), backend, "unmeasured", words)
    linear, attention = ASSUMED.get((profile, precision), ANYWHERE)
    words = f"unmeasured: assumed of {profile} in {precision}"
    return Efficiency(linear, attention, backend, "unmeasured", words)


def _widen(share: Span) -> Span:
    return Span(OTHER_CARD * share.low, share.high)
