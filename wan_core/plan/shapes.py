"""How large the tensors of a request are: latents, tokens, weights.

Formulas are those of diffusers 0.42.1 (WanTransformer3DModel, AutoencoderKLWan); a test counts them there.
"""

from __future__ import annotations

from dataclasses import dataclass

from wan_core.catalog.architecture import ModelCard, ModelTask, TextEncoder, Transformer
from wan_core.plan.request import Request


@dataclass(frozen=True)
class Parameters:
    """Weights of a transformer by count. `kept_fp32` of them stay in float32 (`_keep_in_fp32_modules`)."""

    total: int
    kept_fp32: int
    block: int
    block_kept_fp32: int


def latent_shape(card: ModelCard, request: Request) -> tuple[int, int, int]:
    """(t, h, w) of the video in the latent space."""
    vae = card.vae
    return (
        (request.frames - 1) // vae.stride_t + 1,
        request.height // vae.stride_hw,
        request.width // vae.stride_hw,
    )


def count_tokens(card: ModelCard, request: Request) -> int:
    """Video tokens of one forward: latent cells / patch."""
    t, h, w = latent_shape(card, request)
    patch_t, patch_h, patch_w = card.transformer.patch
    return (t // patch_t) * (h // patch_h) * (w // patch_w)


def count_parameters(model: Transformer) -> Parameters:
    """Weights of one WanTransformer3DModel, and which of them `_keep_in_fp32_modules` names."""
    d = model.dim
    block_kept = 6 * d + 2 * d  # scale_shift_table, norm2
    time_embedder = model.freq_dim * d + d + d * d + d
    kept = time_embedder + 2 * d  # scale_shift_table of the output
    return Parameters(
        total=model.parameters,
        kept_fp32=kept + model.layers * block_kept,
        block=model.block_parameters,
        block_kept_fp32=block_kept,
    )


def transformer_bytes(model: Transformer) -> int:
    """Weights of one expert in bf16, its kept parts in float32."""
    count = count_parameters(model)
    return 2 * count.total + 2 * count.kept_fp32


def block_bytes(model: Transformer) -> int:
    """Weights of one block, likewise."""
    count = count_parameters(model)
    return 2 * count.block + 2 * count.block_kept_fp32


def pinned_block_bytes(model: Transformer) -> int:
    """Host memory that a pinned copy of one block takes, at most.

    torch's pinned allocator rounds each tensor up to a power of two (`CachingHostAllocator.h` of torch
    2.15.0; `pinned_max_round_threshold` is unlimited unless set). Matrices are counted one by one: eight of
    attention, [d, d], and two of the FFN, [d, f]; vectors at the worst case, twice their size.
    """
    attention, ffn = 2 * model.dim**2, 2 * model.dim * model.ffn_dim
    vectors = block_bytes(model) - 8 * attention - 2 * ffn
    return 8 * _power_of_two(attention) + 2 * _power_of_two(ffn) + 2 * vectors


def text_bytes(encoder: TextEncoder) -> int:
    """Weights of the text encoder in bf16."""
    return 2 * encoder.parameters


def vae_bytes(card: ModelCard) -> int:
    """Weights of the VAE in float32."""
    return 4 * card.vae.parameters


def weights_bytes(card: ModelCard) -> int:
    """All weights of a model as they are stored."""
    return (
        text_bytes(card.text_encoder) + card.experts * transformer_bytes(card.transformer) + vae_bytes(card)
    )


def embeds_time_per_token(card: ModelCard) -> bool:
    """Whether each token has a time of its own (diffusers' `expand_timesteps`): the ti2v models do."""
    return card.task is ModelTask.TI2V


def video_bytes(request: Request) -> int:
    """The decoded video, float32, [3, F, H, W]."""
    return 3 * request.frames * request.height * request.width * 4


def _power_of_two(size: int) -> int:
    """The least power of two that is not below `size` >= 1."""
    return 1 << (size - 1).bit_length()
