"""How much of the host's memory and disk a plan takes on a GPU's node: weights, pinned blocks, pictures.

Not covered: pages of files in the kernel's cache, which it takes back; what a compiler's processes take.
"""

from __future__ import annotations

from wan_core.catalog.architecture import ModelCard, Transformer
from wan_core.plan.activations import TILE_PIXELS
from wan_core.plan.request import Request
from wan_core.plan.shapes import FP32_BYTES, streamed_block_bytes, video_bytes, weights_bytes

GIB = 2**30

# Of pinned memory in one buffer: a larger one is filled better, but lies beside what it is filled with. A
# block that is larger has its own.
PINNED_BUFFER_BYTES = 4 * GIB
# The loader's slots of pinned memory: 8 of 16 MiB (`wan_core.weights.ring`; a test says so).
RING_BYTES = 8 * 16 * 2**20
# Tiles of `TILE_PIXELS` begin every so many (diffusers 0.42.1, AutoencoderKLWan).
TILE_STEP = 192
# So each pixel of a video is decoded so many times.
TILED = (TILE_PIXELS / TILE_STEP) ** 2
# Rows of tiles on the host at a time, and copies of what one row adds to the video.
ROWS_OF_TILES, JOINED_ROWS = 2, 3.5
# Beside the weights: the video, logs, caches of compilers. What the operator asks of a pod's disk. Assumed.
SCRATCH_BYTES = GIB


def share_buffers(blocks: int, size: int) -> tuple[int, ...]:
    """How many of so many blocks of `size` bytes lie in each pinned buffer, so that little of it is empty.

    A pinned buffer takes a power of two, whatever is asked for (`CachingHostAllocator.h` of torch 2.15.0:
    `pinned_max_round_threshold` is unlimited unless set): each time as many blocks as fill one best.
    """
    shares: list[int] = []
    while left := blocks - sum(shares):
        counts = range(1, max(1, min(left, PINNED_BUFFER_BYTES // size)) + 1)
        shares.append(max(counts, key=lambda count: (count * size / _power_of_two(count * size), count)))
    return tuple(shares)


def buffer_bytes(model: Transformer, number_bytes: int) -> tuple[int, ...]:
    """The pinned buffers of one expert whose blocks are streamed.

    What aligns tensors in them is not counted: less than 8 KiB a block.
    """
    block = streamed_block_bytes(model, number_bytes)
    return tuple(_power_of_two(count * block) for count in share_buffers(model.layers, block))


def pinned_bytes(card: ModelCard, number_bytes: int) -> int:
    """All pinned buffers of all experts."""
    return card.experts * sum(buffer_bytes(card.transformer, number_bytes))


def rounding_bytes(card: ModelCard, number_bytes: int) -> int:
    """What pinned blocks take beyond the weights in them."""
    weights = card.experts * card.transformer.layers * streamed_block_bytes(card.transformer, number_bytes)
    return pinned_bytes(card, number_bytes) - weights


def disk_bytes(card: ModelCard) -> int:
    """Weights in the node's cache, and scratch."""
    return weights_bytes(card) + SCRATCH_BYTES


def picture_bytes(card: ModelCard, request: Request) -> int:
    """The image as the VAE is given it, float32: for i2v the image and grey after it, and both joined."""
    if request.image is None:
        return 0
    still = video_bytes(request) // request.frames
    return 2 * video_bytes(request) if card.needs_image else still


def frames_bytes(request: Request) -> int:
    """The video in 8 bits, twice: as it comes, and joined."""
    return 2 * video_bytes(request) // FP32_BYTES


def rows_bytes(request: Request) -> int:
    """Two rows of decoded tiles, float32, and what of one is blended, unfolded, bounded and checked."""
    if max(request.width, request.height) <= TILE_PIXELS:
        return 0
    height = min(TILE_PIXELS, request.height)
    widths = sum(min(TILE_PIXELS, request.width - left) for left in range(0, request.width, TILE_STEP))
    joined = JOINED_ROWS * min(TILE_STEP, request.height) * request.width
    return int(3 * FP32_BYTES * request.frames * (ROWS_OF_TILES * height * widths + joined))


def _power_of_two(size: int) -> int:
    """The least power of two that is not below `size` >= 1."""
    return 1 << (size - 1).bit_length()
