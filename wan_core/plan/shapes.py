"""How large the tensors of a request are: latents, tokens, weights.

Formulas are those of `wan_core.model` and of diffusers 0.42.1 (AutoencoderKLWan); a test counts them there.
"""

from __future__ import annotations

from dataclasses import dataclass

from wan_core.catalog.architecture import ModelCard, TextEncoder, Transformer
from wan_core.plan.request import Request


@dataclass(frozen=True)
class Parameters:
    """Weights of a transformer by count. `kept_fp32` of them stay in float32 whatever the others are in."""

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
    """Weights of one WanTransformer, and which of them its `FP32` names."""
    d = model.dim
    block_kept = 6 * d + 2 * d + 4 * d  # modulation, norm, the norms of q and k in both attentions
    time = (model.freq_dim * d + d) + (d * d + d) + (6 * d * d + 6 * d)
    kept = time + 2 * d  # modulation of the head
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
    """Host memory that one block takes that is streamed: one pinned buffer, and beside it, not pinned, what
    projects a text.

    torch's pinned allocator rounds up to a power of two (`CachingHostAllocator.h` of torch 2.15.0;
    `pinned_max_round_threshold` is unlimited unless set). What aligns the tensors in the buffer is not
    counted: less than 8 KiB a block.
    """
    beside = text_projection_bytes(model)
    return _power_of_two(block_bytes(model) - beside) + beside


def text_projection_bytes(model: Transformer) -> int:
    """Weights of one block that project a text to keys and values: matrices in bf16, a norm in float32."""
    return 2 * 2 * (model.dim**2 + model.dim) + 4 * model.dim


def text_kv_bytes(model: Transformer) -> int:
    """Keys and values of one prompt for all layers of one expert, in bf16."""
    return 2 * model.layers * 2 * model.text_len * model.dim


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


def video_bytes(request: Request) -> int:
    """The decoded video, float32, [3, F, H, W]."""
    return 3 * request.frames * request.height * request.width * 4


def _power_of_two(size: int) -> int:
    """The least power of two that is not below `size` >= 1."""
    return 1 << (size - 1).bit_length()
