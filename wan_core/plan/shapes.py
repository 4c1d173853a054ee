"""How large the tensors of a request are: latents, tokens, weights, frames as a VAE folds them.

Formulas are those of `wan_core.model` and of diffusers 0.42.1 (AutoencoderKLWan); a test counts them there.
"""

from __future__ import annotations

from dataclasses import dataclass

from wan_core.catalog.architecture import ModelCard, TextEncoder, Transformer, Vae
from wan_core.plan.request import Request

BF16_BYTES, FP32_BYTES = 2, 4


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


def transformer_bytes(model: Transformer, number_bytes: int = BF16_BYTES) -> int:
    """Weights of one expert of `number_bytes` each, its kept parts in float32."""
    count = count_parameters(model)
    return number_bytes * (count.total - count.kept_fp32) + FP32_BYTES * count.kept_fp32


def block_bytes(model: Transformer, number_bytes: int = BF16_BYTES) -> int:
    """Weights of one block, likewise."""
    count = count_parameters(model)
    return number_bytes * (count.block - count.block_kept_fp32) + FP32_BYTES * count.block_kept_fp32


def streamed_block_bytes(model: Transformer, number_bytes: int = BF16_BYTES) -> int:
    """What of a block passes through the device: all but what projects a text, which `forward` is given."""
    return block_bytes(model, number_bytes) - text_projection_bytes(model, number_bytes)


def text_projection_bytes(model: Transformer, number_bytes: int = BF16_BYTES) -> int:
    """Weights of one block that project a text to keys and values: its norm in float32."""
    return number_bytes * 2 * (model.dim**2 + model.dim) + FP32_BYTES * model.dim


def text_kv_bytes(model: Transformer, number_bytes: int = BF16_BYTES) -> int:
    """Keys and values of one prompt for all layers of one expert."""
    return number_bytes * model.layers * 2 * model.text_len * model.dim


def text_bytes(encoder: TextEncoder, number_bytes: int = BF16_BYTES) -> int:
    """Weights of the text encoder."""
    return number_bytes * encoder.parameters


def vae_bytes(card: ModelCard) -> int:
    """Weights of the VAE in float32."""
    return FP32_BYTES * card.vae.parameters


def weights_bytes(card: ModelCard) -> int:
    """All weights of a model as they are stored."""
    return (
        text_bytes(card.text_encoder) + card.experts * transformer_bytes(card.transformer) + vae_bytes(card)
    )


def video_bytes(request: Request) -> int:
    """The decoded video, float32, [3, F, H, W]."""
    return 3 * request.frames * request.height * request.width * FP32_BYTES


def is_residual(vae: Vae) -> bool:
    """Wan 2.2's form, and wan-tiny's: told by a decoder of another width than the encoder."""
    return vae.decoder_base_dim != vae.base_dim


def fold_of(vae: Vae) -> int:
    """Pixels a side that lie in channels: the VAE halves three times, the rest of its stride is folded."""
    return vae.stride_hw // 8


def folded_pixels(vae: Vae, width: int, height: int) -> float:
    """Pixels of a frame as the VAE's first and last layers work on it."""
    return width * height / fold_of(vae) ** 2
