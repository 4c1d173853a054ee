"""Bytes of tensors that are alive beyond weights on the device, by phase: what our implementation keeps.

Read off the code that runs, and held against it on fake tensors at true sizes (`python -m
bench.planning.memory`, docs/benchmarks.md). Eager operations in torch: compiled, or in Triton, less is
written to memory, so these are upper estimates there. Not in them: what an allocator rounds up and workspaces
of cuBLAS and cuDNN, for which `memory` adds a margin; scores of attention, which flash and memory-efficient
kernels do not keep (where a GPU has neither, the backend `sliced` holds 2 GiB more).
"""

from __future__ import annotations

from dataclasses import dataclass

from wan_core.catalog.architecture import ModelCard, TextEncoder, Transformer
from wan_core.plan.request import Request
from wan_core.plan.shapes import (
    BF16_BYTES,
    FP32_BYTES,
    count_tokens,
    fold_of,
    folded_pixels,
    is_residual,
    latent_shape,
    text_kv_bytes,
    text_projection_bytes,
)

# The solver's latents, the ones before and two velocities (UniPC, order 2), and the first pass's velocity.
SOLVER_TENSORS, PASS_TENSORS = 4, 1
# Tokens of a slice at most (`wan_core.model.sliced.SLICE_TOKENS`; a test says so).
SLICE_TOKENS = 4096
# Of diffusers' AutoencoderKLWan (0.42.1): its tiles are of 256 pixels.
TILE_PIXELS = 256
# Bytes a channel of the first width and pixel of a folded frame, float32, of 1, 2, or more latent frames:
# the third pass holds most, for it replaces the causal caches. Plain: Wan 2.1; residual: Wan 2.2.
DECODE_PLAIN, DECODE_RESIDUAL = (72.2, 191.1, 203.5), (90.8, 296.7, 337.4)
ENCODE_PLAIN, ENCODE_RESIDUAL = (40.3, 126.1, 147.0), (48.9, 146.0, 170.0)
# Latents as they came and scaled, float32, while they are decoded.
DECODED_LATENTS = 2


@dataclass(frozen=True)
class Work:
    """How a transformer is asked to compute: in numbers of so many bytes, both passes at once, by slices."""

    number_bytes: int
    batched: bool = False
    sliced: bool = False


def encode_text_bytes(encoder: TextEncoder, length: int, number_bytes: int) -> int:
    """Encoding two prompts in turn: mask and bias of each pair of tokens, the gated FFN's halves, x."""
    pairs = 3 * number_bytes * encoder.heads * length**2
    rows = length * number_bytes * (2 * encoder.ffn_dim + encoder.dim)
    return pairs + rows + states_bytes(encoder, length, number_bytes)


def states_bytes(encoder: TextEncoder, length: int, number_bytes: int) -> int:
    """Two prompts as the text encoder leaves them."""
    return 2 * length * encoder.dim * number_bytes


def token_bytes(model: Transformer, number_bytes: int = BF16_BYTES) -> int:
    """Live bytes a token of one sample in one forward of our transformer, whole.

    The larger of the norms of q and k with their rotation, and the feed-forward layer. In bf16: 24 d, for x,
    its norm, q, k, v and float32 copies of k; 4 f + 6 d, for the hidden layer twice, x twice, its norm. In
    float32 nothing is copied to be cast.
    """
    d, f = model.dim, model.ffn_dim
    return max(24 * d, 4 * f + 6 * d) if number_bytes == BF16_BYTES else max(36 * d, 8 * f + 12 * d)


def sliced_token_bytes(model: Transformer, number_bytes: int = BF16_BYTES) -> int:
    """The same of a token in a slice: its x is a part of the stream, its norm is gone by q, k and v."""
    d, f = model.dim, model.ffn_dim
    return max(20 * d, 4 * f + 6 * d) if number_bytes == BF16_BYTES else max(28 * d, 8 * f + 12 * d)


def forward_bytes(model: Transformer, tokens: int, samples: int, work: Work) -> int:
    """Live bytes of a forward of so many samples; rotary tables are float32, and for all samples.

    A slice is counted as large as it may be. It is smaller where that makes them even, by half at most: then
    more tokens may need less, and no more frames may be said to need less.
    """
    rope = tokens * 4 * (model.dim // model.heads)
    if not work.sliced:
        return rope + samples * tokens * token_bytes(model, work.number_bytes)
    kept = 4 * model.dim * work.number_bytes  # the stream, q, k and v
    return (
        rope
        + samples * tokens * kept
        + min(tokens, SLICE_TOKENS) * sliced_token_bytes(model, work.number_bytes)
    )


def denoise_bytes(card: ModelCard, request: Request, work: Work, streamed: bool) -> int:
    """The larger of a step and of projecting the texts before it."""
    model, encoder = card.transformer, card.text_encoder
    passes = request.passes
    samples = passes if work.batched else 1
    text = text_kv_bytes(model, work.number_bytes)
    step = passes * text + forward_bytes(model, count_tokens(card, request), samples, work)
    # Layers' keys and values one by one, then stacked.
    beside = text_projection_bytes(model, work.number_bytes) if streamed else 0
    projecting = (passes + samples) * text + beside
    states = states_bytes(encoder, model.text_len, work.number_bytes)
    return max(step, projecting) + states + latents_bytes(card, request, samples, work.number_bytes)


def latents_bytes(card: ModelCard, request: Request, samples: int, number_bytes: int) -> int:
    """What the solver remembers, what stands beside the noise, and both as the transformer is given them."""
    t, h, w = latent_shape(card, request)
    channels, given = card.vae.z_channels, card.transformer.in_channels
    kept = SOLVER_TENSORS + (PASS_TENSORS if request.guided and samples == 1 else 0)
    floats = kept * channels
    if given > channels:
        floats += given + given - channels  # joined with the image's channels, and these
    elif request.image is not None:
        floats += channels  # with the image's first frame
    cast = samples * given * number_bytes if number_bytes == BF16_BYTES or samples > 1 else 0
    return t * h * w * (FP32_BYTES * floats + cast)


def decode_bytes(card: ModelCard, request: Request, tiled: bool) -> float:
    """Decoding in float32: one latent frame, whole or of a tile, with its causal caches. Pixels leave."""
    width, height = request.width, request.height
    if tiled:
        width, height = min(width, TILE_PIXELS), min(height, TILE_PIXELS)
    t, h, w = latent_shape(card, request)
    latents = DECODED_LATENTS * FP32_BYTES * card.vae.z_channels * t * h * w
    table = DECODE_RESIDUAL if is_residual(card.vae) else DECODE_PLAIN
    return table[min(t, 3) - 1] * folded_pixels(card.vae, width, height) * card.vae.decoder_base_dim + latents


def encode_bytes(card: ModelCard, request: Request, tiled: bool) -> float:
    """Encoding the image with which a video begins, float32; for i2v as many frames as the video has.

    diffusers' encoder takes tiles of 256 pixels of a folded frame.
    """
    if request.image is None:
        return 0.0
    frames = request.frames if card.needs_image else 1
    pixels = 3 * FP32_BYTES * frames * request.width * request.height
    fold = fold_of(card.vae)
    width, height = request.width, request.height
    if tiled:
        width, height = min(width, fold * TILE_PIXELS), min(height, fold * TILE_PIXELS)
    table = ENCODE_RESIDUAL if is_residual(card.vae) else ENCODE_PLAIN
    passes = (frames - 1) // card.vae.stride_t + 1
    return table[min(passes, 3) - 1] * folded_pixels(card.vae, width, height) * card.vae.base_dim + pixels
