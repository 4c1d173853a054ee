"""How many operations the VAE takes: per pixel of a frame and squared width, as counted on diffusers 0.42.1's
AutoencoderKLWan with torch's FlopCounterMode. Attention in its middle is within the figures.
"""

from __future__ import annotations

from wan_core.catalog.architecture import ModelCard, Vae
from wan_core.plan.request import Request

# Decoding: the plain form of Wan 2.1, and the residual one (Wan 2.2, wan-tiny).
DECODE_PLAIN, DECODE_RESIDUAL = 914, 1120
# Encoding, likewise.
ENCODE_PLAIN, ENCODE_RESIDUAL = 500, 500


def decode_flops(card: ModelCard, request: Request) -> float:
    """Operations of decoding the whole video at once."""
    vae = card.vae
    factor = DECODE_RESIDUAL if is_residual(vae) else DECODE_PLAIN
    return factor * vae.decoder_base_dim**2 * _inner_pixels(vae, request)


def encode_flops(card: ModelCard, request: Request) -> float:
    """Operations of encoding an image and the grey frames after it, where the model must have one."""
    if not card.needs_image:
        return 0.0
    factor = ENCODE_RESIDUAL if is_residual(card.vae) else ENCODE_PLAIN
    return factor * card.vae.base_dim**2 * _inner_pixels(card.vae, request)


def is_residual(vae: Vae) -> bool:
    """Told by a decoder of another width than the encoder."""
    return vae.decoder_base_dim != vae.base_dim


def _inner_pixels(vae: Vae, request: Request) -> float:
    """Pixels of all frames as the VAE works on them: Wan 2.2's folds 2x2 of them into channels first."""
    patch = vae.stride_hw // 8
    return request.frames * request.width * request.height / patch**2
