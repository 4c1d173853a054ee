"""How much memory a plan needs, by phase: weights exactly, activations by formula, the rest by constants.

Formulas of activations were read off `python -m bench.plan_memory` (torch 2.15.0, diffusers 0.42.1,
2026-11-21), which counts live tensors at true size. Not covered: workspaces of cuDNN (it takes a smaller
algorithm where memory is short), fragmentation beyond `MARGIN`, several GPUs, batches, both passes of
guidance at once (taken only where they fit besides), stock diffusers in the place of our transformer.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from wan_core.api.model import Document
from wan_core.catalog.architecture import ModelCard
from wan_core.plan.request import Request
from wan_core.plan.shapes import (
    block_bytes,
    count_tokens,
    latent_shape,
    pinned_block_bytes,
    text_bytes,
    text_kv_bytes,
    transformer_bytes,
    vae_bytes,
    video_bytes,
    weights_bytes,
)
from wan_core.plan.techniques import Plan

GIB = 2**30

# CUDA context with the libraries' handles. Assumed, not measured here.
DEVICE_BASE_GIB = 0.6
# Peak RSS of a whole run of wan-tiny on a CPU, nearly all of it Python and torch: 1.0 GiB
# (2-core EPYC, torch 2.15.0, diffusers 0.42.1, 2026-11-21).
HOST_BASE_CPU_GIB = 1.0
# The same with CUDA's libraries. Assumed, not measured here.
HOST_BASE_CUDA_GIB = 3.0
# What the allocator rounds up and fragments, as a factor on the sum. Calibrated by one public figure: ti2v-5B
# at 1280x704x121 took 22.9 GB on an RTX 4090 with a float32 VAE (Wan2.2, comp_effic.png); we say 22.93 GiB.
MARGIN = 1.02

# Bytes of live tensors per channel of the VAE's decoder and pixel of a patch, float32: measured 202.7 for the
# plain form (Wan2.1), 336.0 and 310.0 for the residual one (Wan2.2, wan-tiny). Independent of frames.
DECODE_BYTES_PLAIN = 203
DECODE_BYTES_RESIDUAL = 336
# Tiling: diffusers' tile of 256 pixels every 192; the tiles kept are (256/192)^2 of the video, and assembling
# them peaks at 4.67 videos (measured at 720p x 49, 81 and 121 frames, both VAEs).
TILE_PIXELS = 256
TILES_PER_VIDEO = 1.78
ASSEMBLY_VIDEOS = 4.67
# The solver's state of four before and after a step, the velocities of both passes and a sum, float32.
LATENT_COPIES = 11
# Prompts whose projections lie on the device during a phase: the positive and the negative one.
PROMPTS = 2
# Blocks on the device while streaming: the one that computes and the one that arrives.
STREAMED_BLOCKS = 2


class MemoryEstimate(Document):
    """GiB by phase on the device, and on the host.

    On the CPU the device is the host: phases are host memory then, and `host_gib` is their peak.
    """

    text_gib: float = Field(ge=0)
    denoise_gib: float = Field(ge=0)
    decode_gib: float = Field(ge=0)
    host_gib: float = Field(ge=0)

    @property
    def peak_gib(self) -> float:
        return max(self.text_gib, self.denoise_gib, self.decode_gib)

    @property
    def peak_phase(self) -> str:
        phases = {"text": self.text_gib, "denoise": self.denoise_gib, "decode": self.decode_gib}
        return max(phases, key=phases.__getitem__)


@dataclass(frozen=True)
class Phases:
    """Bytes by phase."""

    text: float
    denoise: float
    decode: float


def estimate_memory(plan: Plan, card: ModelCard, request: Request) -> MemoryEstimate:
    """What `plan` needs for `request`, in GiB. Encoding an input image needs less than decoding does."""
    weights, work = resident_weights(plan, card), activations(plan, card, request)
    base = HOST_BASE_CPU_GIB if plan.device == "cpu" else DEVICE_BASE_GIB
    text = _gib(weights.text + work.text, base)
    denoise = _gib(weights.denoise + work.denoise, base)
    decode = _gib(weights.decode + work.decode, base)
    host = max(text, denoise, decode)
    if plan.device == "cuda":
        frames = video_bytes(request) / 4  # uint8
        host = _gib(host_weights(plan, card) + frames, HOST_BASE_CUDA_GIB)
    return MemoryEstimate(text_gib=text, denoise_gib=denoise, decode_gib=decode, host_gib=host)


def resident_weights(plan: Plan, card: ModelCard) -> Phases:
    """Bytes of weights on the device, by phase. On a CPU transformers and text encoder compute in float32."""
    scale = 2 if plan.device == "cpu" else 1
    expert, vae = scale * transformer_bytes(card.transformer), vae_bytes(card)
    text = 0 if plan.uses("text-encoder-cpu") else scale * text_bytes(card.text_encoder)
    if plan.uses("resident"):
        every = text + card.experts * expert + vae
        return Phases(every, every, every)
    if plan.uses("block-streaming"):
        block = block_bytes(card.transformer)
        expert -= (card.transformer.layers - min(STREAMED_BLOCKS, card.transformer.layers)) * block
    return Phases(text, expert, vae)


def activations(plan: Plan, card: ModelCard, request: Request) -> Phases:
    """Bytes of live tensors beyond weights, by phase."""
    t, h, w = latent_shape(card, request)
    latents = LATENT_COPIES * 4 * max(card.transformer.in_channels, card.vae.z_channels) * t * h * w
    scale = 2 if plan.device == "cpu" else 1
    text = 0 if plan.uses("text-encoder-cpu") else scale * encode_bytes(card)
    model = card.transformer
    per_token = forward_bytes_per_token(model.dim, model.ffn_dim, model.heads)
    forward = scale * (count_tokens(card, request) * per_token + PROMPTS * text_kv_bytes(model))
    return Phases(text, forward + latents, decode_bytes(card, request, plan.uses("vae-tiling")))


def encode_bytes(card: ModelCard) -> int:
    """Encoding one prompt in bf16: scores in float32 and bf16, the gated FFN's two halves, x."""
    encoder, length = card.text_encoder, card.transformer.text_len
    return 6 * encoder.heads * length**2 + length * (4 * encoder.ffn_dim + 2 * encoder.dim)


def forward_bytes_per_token(dim: int, ffn_dim: int, heads: int) -> int:
    """Live bytes a token in one forward of our transformer, batch 1, bf16, operations in torch, not compiled.

    The larger of the norms of q and k with their rotation (24 d) and the FFN (hidden layer twice, 4 f, and
    x, its norm and a sum, 6 d); rotary tables of 4 bytes a head's width. Against the measurement: d 5120
    123,392 (123,400); d 3072 76,288 (76,470); d 1536 45,568 (45,570).
    """
    return max(24 * dim, 4 * ffn_dim + 6 * dim) + 4 * (dim // heads)


def decode_bytes(card: ModelCard, request: Request, tiled: bool) -> float:
    """Decoding in float32: activations of one latent frame with its causal cache, and the video so far.

    The residual form is told by a decoder of another width than the encoder (Wan2.2 and wan-tiny).
    """
    vae, video = card.vae, video_bytes(request)
    residual = vae.decoder_base_dim != vae.base_dim
    patch = vae.stride_hw // 8  # three halvings inside; Wan2.2 folds 2x2 pixels into channels first
    per_pixel = (DECODE_BYTES_RESIDUAL if residual else DECODE_BYTES_PLAIN) * vae.decoder_base_dim / patch**2
    if not tiled or max(request.width, request.height) <= TILE_PIXELS:
        return per_pixel * request.width * request.height + video
    tile = per_pixel * min(TILE_PIXELS, request.width) * min(TILE_PIXELS, request.height)
    return max(tile + TILES_PER_VIDEO * video, ASSEMBLY_VIDEOS * video)


def host_weights(plan: Plan, card: ModelCard) -> int:
    """Bytes of weights in host memory for a plan on a GPU. Those that load past it pass through a ring of
    0.125 GiB (`wan_core.weights.ring`), for which the base leaves room. Pages of files in the kernel's cache
    do not count: it takes them back.
    """
    text = text_bytes(card.text_encoder)
    if plan.uses("resident"):
        return text if plan.uses("text-encoder-cpu") else 0
    return weights_bytes(card) + (_pinning_bytes(card) if plan.uses("block-streaming") else 0)


def _pinning_bytes(card: ModelCard) -> int:
    """What pinned blocks take beyond the weights themselves: rounding, and the block that is being packed."""
    layers, block = card.transformer.layers, block_bytes(card.transformer)
    rounding = card.experts * layers * (pinned_block_bytes(card.transformer) - block)
    return rounding + block


def _gib(size: float, base_gib: float = 0.0) -> float:
    """GiB with base and margin, rounded up to a hundredth, so that what is shown is what is compared."""
    hundredths = (size / GIB * MARGIN + base_gib) * 100
    return -(-hundredths // 1) / 100
