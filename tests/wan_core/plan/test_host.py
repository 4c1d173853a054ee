from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_core.plan.worlds import SMALL, request_of
from wan_core.catalog.models import MODELS
from wan_core.plan.host import (
    PINNED_BUFFER_BYTES,
    RING_BYTES,
    TILE_STEP,
    buffer_bytes,
    frames_bytes,
    picture_bytes,
    pinned_bytes,
    rounding_bytes,
    rows_bytes,
    share_buffers,
)
from wan_core.plan.memory import hold
from wan_core.plan.shapes import (
    streamed_block_bytes,
    text_bytes,
    transformer_bytes,
    vae_bytes,
    video_bytes,
)


def test_offloaded_weights_lie_in_host_memory_beside_the_loaders_ring() -> None:
    every = text_bytes(SMALL.text_encoder) + 2 * transformer_bytes(SMALL.transformer) + vae_bytes(SMALL)
    assert hold("cuda", ("bf16", "resident"), SMALL).host == RING_BYTES
    assert hold("cuda", ("bf16", "component-offload"), SMALL).host == RING_BYTES + every


def test_what_streams_is_pinned_in_buffers_that_are_powers_of_two() -> None:
    block = streamed_block_bytes(SMALL.transformer)
    buffers = buffer_bytes(SMALL.transformer, 2)
    assert all(size.bit_count() == 1 for size in buffers)
    streamed = hold("cuda", ("bf16", "block-streaming"), SMALL)
    offloaded = hold("cuda", ("bf16", "component-offload"), SMALL)
    assert streamed.host - offloaded.host == rounding_bytes(SMALL, 2) == 2 * sum(buffers) - 6 * block
    assert streamed.pinned == RING_BYTES + pinned_bytes(SMALL, 2)
    assert streamed.packing == max(buffers)
    assert offloaded.pinned == RING_BYTES


def test_seven_blocks_of_14b_fill_4_gib_where_each_alone_takes_1() -> None:
    model = MODELS["t2v-A14B"].transformer
    assert streamed_block_bytes(model) / 2**30 == pytest.approx(0.557, abs=0.001)
    assert share_buffers(40, streamed_block_bytes(model)) == (7, 7, 7, 7, 7, 3, 2)
    assert [size // 2**30 for size in buffer_bytes(model, 2)] == [4, 4, 4, 4, 4, 2, 2]


@given(st.integers(1, 100), st.integers(1, 2**34))
def test_every_block_has_a_place_and_none_takes_more_than_alone(blocks: int, size: int) -> None:
    shares = share_buffers(blocks, size)
    assert sum(shares) == blocks
    alone = blocks * (1 << (size - 1).bit_length())
    assert sum(1 << (count * size - 1).bit_length() for count in shares) <= alone
    assert all(count == 1 or count * size <= PINNED_BUFFER_BYTES for count in shares)


def test_an_image_to_video_model_is_given_a_whole_video_on_the_host_and_5b_a_frame() -> None:
    long, short = (request_of("i2v-A14B", resolution="832x480", frames=f) for f in (81, 1))
    assert picture_bytes(MODELS["i2v-A14B"], long) == 2 * video_bytes(long)
    begun = request_of("ti2v-5B").model_copy(update={"image": "s3://inputs/a.png"})
    assert picture_bytes(MODELS["ti2v-5B"], begun) * 121 == video_bytes(begun)
    assert picture_bytes(MODELS["ti2v-5B"], request_of("ti2v-5B")) == 0
    assert picture_bytes(MODELS["i2v-A14B"], short) == 2 * video_bytes(short)


def test_of_tiles_the_host_keeps_two_rows_and_of_the_video_8_bits_twice() -> None:
    request = request_of("t2v-A14B", resolution="1280x720")
    assert frames_bytes(request) * 2 == video_bytes(request)
    tiles = 6 * 256 + 128  # every 192 of 1280 pixels, the last one narrow
    assert rows_bytes(request) == 12 * 81 * (2 * 256 * tiles + 3.5 * TILE_STEP * 1280)
    assert rows_bytes(request_of("wan-tiny")) == 0


@pytest.mark.slow
def test_figures_that_other_layers_own_are_theirs() -> None:
    from diffusers import AutoencoderKLWan

    from wan_core.model import sliced
    from wan_core.plan.activations import SLICE_TOKENS, TILE_PIXELS
    from wan_core.weights.ring import PINNED_SLOTS, SLOT_BYTES

    assert RING_BYTES == PINNED_SLOTS * SLOT_BYTES
    assert SLICE_TOKENS == sliced.SLICE_TOKENS
    for tokens in (1, 4096, 4097, 27_280, 32_760, 75_600, 99_991):
        rows = [part[1].stop - part[1].start for part in sliced.divide(1, tokens, 1, SLICE_TOKENS)]
        assert max(rows) <= SLICE_TOKENS
    vae = AutoencoderKLWan(base_dim=8, dim_mult=[1, 1, 1, 1], num_res_blocks=1)
    assert vae.tile_sample_min_height == vae.tile_sample_min_width == TILE_PIXELS
    assert vae.tile_sample_stride_height == vae.tile_sample_stride_width == TILE_STEP
