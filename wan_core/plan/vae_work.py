"""How many operations the VAE takes, as counted on diffusers 0.42.1's AutoencoderKLWan by torch's
FlopCounterMode; a test counts again.

Per pixel of a frame and squared base width: the first frame, which has a latent frame to itself, and each
other one. Attention in its middle grows with the square of a frame, and is left out: 0.1 % at 832x480.
"""

from __future__ import annotations

from wan_core.catalog.architecture import ModelCard
from wan_core.plan.request import Request
from wan_core.plan.shapes import folded_pixels, is_residual

# The plain form of Wan 2.1, and the residual one of Wan 2.2. (wan-tiny's has fewer blocks: a fourth less.)
DECODE_PLAIN, DECODE_RESIDUAL = (1167, 916.5), (1390, 1123)
ENCODE_PLAIN, ENCODE_RESIDUAL = (723, 543), (726, 545.5)


def decode_flops(card: ModelCard, request: Request) -> float:
    """Operations of decoding the whole video at once."""
    vae = card.vae
    work = DECODE_RESIDUAL if is_residual(vae) else DECODE_PLAIN
    return _sum(work, request) * vae.decoder_base_dim**2 * folded_pixels(vae, request.width, request.height)


def encode_flops(card: ModelCard, request: Request) -> float:
    """Operations of encoding the image, if any: with the grey frames after it where the model must have one,
    else as the first frame alone.
    """
    if request.image is None:
        return 0.0
    first, each = ENCODE_RESIDUAL if is_residual(card.vae) else ENCODE_PLAIN
    work = _sum((first, each), request) if card.needs_image else first
    return work * card.vae.base_dim**2 * folded_pixels(card.vae, request.width, request.height)


def _sum(work: tuple[float, float], request: Request) -> float:
    first, each = work
    return first + each * (request.frames - 1)
