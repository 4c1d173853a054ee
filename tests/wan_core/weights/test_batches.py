"""What is read at once: every byte once, in order, in pieces that a slot holds."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_core.weights.batches import PIECES_MAX, SLOT_ALIGNMENT, Batch, plan_batches
from wan_core.weights.shards import DTYPES, Stored

SHAPES = st.lists(st.integers(0, 9), max_size=3).map(tuple)
TENSORS = st.lists(st.tuples(SHAPES, st.sampled_from(sorted(DTYPES))), max_size=20)
FILES = st.lists(TENSORS, max_size=4)


def lay_out(files: list[list[tuple[tuple[int, ...], str]]], gap: int = 0) -> dict[str, Stored]:
    """Headers of files that hold these tensors one after the other from byte 13 on, `gap` bytes between."""
    stored: dict[str, Stored] = {}
    for number, tensors in enumerate(files):
        begin = 13
        for index, (shape, dtype) in enumerate(tensors):
            one = Stored(shape, dtype, Path(f"{number}.safetensors"), begin)
            stored[f"{number}.{index}"] = one
            begin += one.nbytes + gap
    return stored


@given(FILES, st.integers(1, 8).map(lambda n: n * SLOT_ALIGNMENT), st.sampled_from([0, 3]))
def test_every_byte_is_read_once_in_order_and_whole_elements_at_a_time(
    files: list[list[tuple[tuple[int, ...], str]]], slot_bytes: int, gap: int
) -> None:
    stored = lay_out(files, gap)
    read = dict.fromkeys(stored, 0)
    reached = (Path(), 0)
    for batch in plan_batches(stored, slot_bytes):
        assert (batch.file, batch.begin) >= reached
        position, used = batch.begin, 0
        for piece in batch.pieces:
            tensor = stored[piece.name]
            assert tensor.file == batch.file
            assert position == tensor.begin + piece.skip
            assert piece.skip == read[piece.name]
            assert piece.nbytes > 0
            assert piece.nbytes % tensor.torch_dtype.itemsize == 0
            assert piece.at >= used
            assert piece.at % SLOT_ALIGNMENT == 0
            read[piece.name] += piece.nbytes
            position += piece.nbytes
            used = piece.at + piece.nbytes
        assert used <= slot_bytes
        reached = (batch.file, position)
    assert read == {name: tensor.nbytes for name, tensor in stored.items()}


def count(files: list[list[tuple[tuple[int, ...], str]]], slot_bytes: int) -> list[int]:
    return [len(batch.pieces) for batch in plan_batches(lay_out(files), slot_bytes)]


@pytest.mark.parametrize(
    ("files", "pieces"),
    [
        pytest.param([[((32,), "F32")]], [1], id="just enough"),
        pytest.param([[((33,), "F32")]], [1, 1], id="an element too many"),
        pytest.param([[((16,), "F32")] * 2], [2], id="two that fit"),
        pytest.param([[((16,), "F32")], [((16,), "F32")]], [1, 1], id="two files"),
        pytest.param([[((1,), "U8")] * 3], [2, 1], id="small ones lie aligned"),
        pytest.param([[((0,), "F32")]], [], id="nothing to read"),
    ],
)
def test_a_batch_is_as_large_as_a_slot_and_a_file_allow(
    files: list[list[tuple[tuple[int, ...], str]]], pieces: list[int]
) -> None:
    assert count(files, 2 * SLOT_ALIGNMENT) == pieces


def test_the_kernel_takes_so_many_buffers_at_once() -> None:
    many = [[((1,), "U8")] * (PIECES_MAX + 1)]
    assert count(many, math.ceil(1e6)) == [PIECES_MAX, 1]
    assert isinstance(next(iter(plan_batches(lay_out(many), 10**6))), Batch)
