"""How long a plan takes: floating-point operations over what a GPU sustains, and what crosses the bus.

Not covered on a GPU: fetching and loading weights, encoding the text, the VAE, making and uploading the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.gpus import find_gpu
from wan_core.plan.request import Request
from wan_core.plan.shapes import block_bytes, count_tokens, text_bytes, transformer_bytes, vae_bytes
from wan_core.plan.techniques import Plan

# Share of a GPU's dense bf16 peak that a denoising loop sustains, by compute capability; no row: unmeasured.
EFFICIENCY: Mapping[tuple[int, int], float] = MappingProxyType(
    {
        # diffusers, Wan2.1-I2V-14B 480p on H100: 9.77 s a step = 344 of 989 TFLOP/s (LightX2V, 2025-12)
        (9, 0): 0.35,
        # the original code, Wan2.2-5B 720p on RTX 4090: 534.7 s = 97 of 165 TFLOP/s (Wan2.2, comp_effic.png)
        (8, 9): 0.59,
        # the original code, Wan2.2-A14B 480p on A100: 785.7 s = 171 of 312 TFLOP/s (Wan2.2, comp_effic.png)
        (8, 0): 0.55,
    }
)
# Host to device over PCIe 4 x16, from memory that is not pinned; streamed blocks are. Assumed.
BUS_BYTES_PER_S = 12e9
# What a server's CPU sustains in bf16 while it encodes a prompt. Assumed.
HOST_FLOPS = 0.5e12
# wan-tiny on 2 cores of an EPYC with AVX512-BF16: 20 more guided steps take 0.6 s (torch 2.15.0, diffusers
# 0.42.1, 2026-11-21), and a step is two forwards of 0.536 GFLOP.
CPU_FLOPS = 3.6e10
# Text, VAE and the rest of the same run: 0.5 s.
CPU_REST_S = 0.5


def forward_flops(card: ModelCard, tokens: int) -> float:
    """Operations of one forward, a multiply-add counted as two: the linears and attentions of all blocks."""
    m, d, text = card.transformer, card.transformer.dim, card.transformer.text_len
    linears = 12 * tokens * d * d + 4 * text * d * d + 4 * tokens * d * m.ffn_dim
    attention = 4 * tokens * tokens * d + 4 * tokens * text * d
    return float(m.layers * (linears + attention))


def count_forwards(request: Request) -> int:
    """Forwards of a whole video: two in every step where either scale guides."""
    return request.steps * (2 if request.guided else 1)


def text_flops(card: ModelCard) -> float:
    """Operations of encoding prompt and negative prompt, padded; an embedding table computes nothing."""
    encoder = card.text_encoder
    weights = encoder.parameters - encoder.vocabulary * encoder.dim
    return 2.0 * 2 * weights * card.transformer.text_len


def placement_seconds(plan: Plan, card: ModelCard, request: Request) -> float:
    """Seconds that the placement adds if nothing hides them: they rank plans on whatever device."""
    return (
        _moved_once(plan, card) / BUS_BYTES_PER_S + _text_seconds(plan, card) + _streamed(plan, card, request)
    )


def estimate_seconds(plan: Plan, card: ModelCard, request: Request, product: str) -> float | None:
    """Seconds of the whole video on this GPU product (ignored for a CPU); None where it is unmeasured."""
    flops = forward_flops(card, count_tokens(card, request)) * count_forwards(request)
    if plan.device == "cpu":
        return CPU_REST_S + flops / CPU_FLOPS
    gpu = find_gpu(product)
    if gpu is None or gpu.bf16_tflops is None or gpu.compute_capability not in EFFICIENCY:
        return None
    computing = flops / (gpu.bf16_tflops * 1e12 * EFFICIENCY[gpu.compute_capability])
    denoising = max(computing, _streamed(plan, card, request))
    return denoising + _moved_once(plan, card) / BUS_BYTES_PER_S + _text_seconds(plan, card)


def _moved_once(plan: Plan, card: ModelCard) -> int:
    """Bytes that cross the bus after loading, because components come to the device when it is their turn."""
    if plan.uses("resident"):
        return 0
    text = 0 if plan.uses("text-encoder-cpu") else text_bytes(card.text_encoder)
    experts = card.experts * transformer_bytes(card.transformer) if plan.uses("component-offload") else 0
    return text + experts + vae_bytes(card)


def _streamed(plan: Plan, card: ModelCard, request: Request) -> float:
    """Seconds in which blocks cross the bus, once a forward; computing hides them where it takes longer."""
    if not plan.uses("block-streaming"):
        return 0.0
    blocks = card.transformer.layers * block_bytes(card.transformer)
    return count_forwards(request) * blocks / BUS_BYTES_PER_S


def _text_seconds(plan: Plan, card: ModelCard) -> float:
    return text_flops(card) / HOST_FLOPS if plan.uses("text-encoder-cpu") else 0.0
