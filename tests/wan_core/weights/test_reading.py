"""What is read through the ring is what safetensors reads; faults are typed, and nothing goes on after them.

The CPU's memory is also in the place of a device's: then everything passes through the slots.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.wan_core.weights.models import same_bytes
from wan_core.errors import IntegrityError, Interrupted
from wan_core.weights.carrier import PlainCarrier
from wan_core.weights.places import ALIGNMENT, Place, cut_slab, place_on
from wan_core.weights.reading import Wanted, read_tensors
from wan_core.weights.ring import Ring, find_ring
from wan_core.weights.shards import DTYPES, Stored, read_headers, silent

TO_THE_HOST = place_on("cpu")
TO_A_DEVICE = Place(partial(cut_slab, partial(torch.empty, dtype=torch.uint8)), PlainCarrier(), direct=False)
PLACES = pytest.mark.parametrize("place", [TO_THE_HOST, TO_A_DEVICE], ids=["to the host", "to a device"])
SMALL_RING = Ring(3, 256, pinned=False)

SHAPES = st.lists(st.integers(0, 13), max_size=3).map(tuple)
TENSORS = st.lists(st.tuples(SHAPES, st.sampled_from(list(DTYPES.values()))), max_size=12)


def fill(shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    """Any bits that the dtype can hold."""
    size = torch.empty(shape, dtype=dtype).numel() * dtype.itemsize
    most = 2 if dtype is torch.bool else 256
    held = torch.randint(most, (size,), generator=generator, dtype=torch.uint8)
    return held.view(dtype).view(shape)


def save(folder: Path, files: list[list[tuple[tuple[int, ...], torch.dtype]]]) -> None:
    generator = torch.Generator().manual_seed(0)
    for number, tensors in enumerate(files):
        state = {f"{number}.{i}": fill(*tensor, generator) for i, tensor in enumerate(tensors)}
        save_file(state, folder / f"{number}.safetensors", metadata={"odd": "x" * number})


def as_stored(stored: Mapping[str, Stored]) -> dict[str, Wanted]:
    return {name: Wanted(one.shape, one.torch_dtype, (name,)) for name, one in stored.items()}


def read(
    folder: Path, place: Place, tick: Callable[[int, int], None] = silent, ring: Ring = SMALL_RING
) -> Any:
    stored = read_headers(folder)
    return read_tensors(stored, as_stored(stored), place, tick, ring)


@PLACES
@settings(max_examples=50)
@given(files=st.lists(TENSORS, min_size=1, max_size=3))
def test_it_reads_what_safetensors_reads(
    place: Place, files: list[list[tuple[tuple[int, ...], torch.dtype]]]
) -> None:
    with TemporaryDirectory() as folder:
        save(Path(folder), files)
        expected: dict[str, Tensor] = {}
        for file in sorted(Path(folder).iterdir()):
            expected |= load_file(file)
        ticks: list[tuple[int, int]] = []
        found = read(Path(folder), place, lambda *at: ticks.append(at))
        total = sum(file.stat().st_size for file in {one.file for one in read_headers(Path(folder)).values()})
    assert same_bytes(found, expected)
    assert ticks == sorted(ticks)
    assert {of for _, of in ticks} <= {total}
    assert not ticks or ticks[-1][0] == total


@PLACES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@settings(max_examples=25)
@given(
    shape=SHAPES, stored_dtype=st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16])
)
def test_a_cast_is_torchs_own(
    place: Place, dtype: torch.dtype, shape: tuple[int, ...], stored_dtype: torch.dtype
) -> None:
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(stored_dtype)
    with TemporaryDirectory() as folder:
        save_file({"a": tensor, "b": tensor + 1}, Path(folder) / "m.safetensors")
        stored = read_headers(Path(folder))
        wanted = {name: Wanted(shape, dtype, (name,)) for name in stored}
        found = read_tensors(stored, wanted, place, ring=SMALL_RING)
    assert same_bytes(found, {"a": tensor.to(dtype), "b": (tensor + 1).to(dtype)})


@PLACES
def test_parts_of_several_files_become_one_tensor(tmp_path: Path, place: Place) -> None:
    whole = torch.arange(300, dtype=torch.int32).view(3, 100)
    for index in (2, 0, 1):
        save_file({f"part.{index}": whole[index].clone()}, tmp_path / f"{2 - index}.safetensors")
    wanted = {"whole": Wanted((3, 100), torch.int32, ("part.0", "part.1", "part.2"))}
    found = read_tensors(read_headers(tmp_path), wanted, place, ring=SMALL_RING)
    assert same_bytes(found, {"whole": whole})


def test_on_a_device_the_tensors_of_a_file_are_aligned_views_of_one_allocation(tmp_path: Path) -> None:
    save(tmp_path, [[((3, 5), torch.bfloat16), ((7,), torch.uint8), ((1,), torch.float64)]])
    found = read(tmp_path, TO_A_DEVICE)
    assert len({tensor.untyped_storage().data_ptr() for tensor in found.values()}) == 1
    assert all(tensor.storage_offset() * tensor.dtype.itemsize % ALIGNMENT == 0 for tensor in found.values())


def test_on_the_host_each_tensor_can_be_given_back_alone(tmp_path: Path) -> None:
    save(tmp_path, [[((3, 5), torch.bfloat16)] * 3])
    found = read(tmp_path, TO_THE_HOST)
    assert len({tensor.untyped_storage().data_ptr() for tensor in found.values()}) == 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="pinned slots and streams need a GPU")
def test_on_a_gpu_everything_comes_through_pinned_slots(tmp_path: Path) -> None:
    save(tmp_path, [[((1000, 1000), torch.bfloat16), ((7,), torch.uint8)] * 20] * 2)
    stored, expected = read_headers(tmp_path), read(tmp_path, TO_THE_HOST)
    wanted = {name: Wanted(one.shape, one.torch_dtype, (name,)) for name, one in stored.items()}
    for ring in (None, Ring(2, 2**20, pinned=True)):
        found = read_tensors(stored, wanted, place_on("cuda"), ring=ring)
        assert same_bytes({name: tensor.cpu() for name, tensor in found.items()}, expected)
    cast = {name: Wanted(one.shape, torch.float32, (name,)) for name, one in stored.items()}
    found = read_tensors(stored, cast, place_on("cuda"))
    assert same_bytes(
        {name: tensor.cpu() for name, tensor in found.items()},
        {name: tensor.float() for name, tensor in expected.items()},
    )
    with find_ring(pinned=True).held() as slots:
        assert all(slot.bytes.is_pinned() for slot in slots)


def test_the_ring_of_a_process_is_made_once() -> None:
    assert find_ring(pinned=False) is find_ring(pinned=False)


class Late(PlainCarrier):
    """Nothing is copied before it is waited for, as on a device that is busy."""

    def __init__(self) -> None:
        self.under_way: list[tuple[Tensor, Tensor]] = []
        self._one_by_one = threading.Lock()  # slots are waited for in several threads

    def carry(self, source: Tensor, target: Tensor) -> Any:
        self.under_way.append((source, target))
        return self.under_way[-1]

    def wait(self, copy: Any) -> None:
        with self._one_by_one:
            while any(copy is one for one in self.under_way):
                source, target = self.under_way.pop(0)
                target.copy_(source)

    def settle(self) -> None:
        for source, target in self.under_way:
            target.copy_(source)
        self.under_way = []


def test_a_slot_is_filled_again_only_after_its_copy(tmp_path: Path) -> None:
    save(tmp_path, [[((1000,), torch.float32)] * 4])
    expected = load_file(tmp_path / "0.safetensors")
    place = Place(TO_A_DEVICE.allocate, Late(), direct=False)
    assert same_bytes(read(tmp_path, place), expected)


@pytest.fixture
def threads() -> Callable[[], set[str]]:
    """Names of threads that were not there before."""
    before = set(threading.enumerate())
    return lambda: {thread.name for thread in threading.enumerate() if thread not in before}


@PLACES
@pytest.mark.parametrize("after", [0, 1, 5])
def test_what_a_tick_raises_leaves_no_thread_and_a_ring_for_the_next(
    tmp_path: Path, place: Place, after: int, threads: Callable[[], set[str]]
) -> None:
    save(tmp_path, [[((1000,), torch.float32)] * 2] * 2)
    seen: list[int] = []

    def tick(done: int, _total: int) -> None:
        seen.append(done)
        if len(seen) > after:
            raise Interrupted("told to stop")

    with pytest.raises(Interrupted):
        read(tmp_path, place, tick)
    assert len(seen) == after + 1
    assert threads() == set()
    assert len(read(tmp_path, place)) == 4


@PLACES
def test_a_file_that_shrinks_while_it_is_read_is_told(
    tmp_path: Path, place: Place, threads: Callable[[], set[str]]
) -> None:
    save(tmp_path, [[((10_000,), torch.float32)] * 4])
    file = tmp_path / "0.safetensors"

    def tick(_done: int, _total: int) -> None:
        os.truncate(file, 50_001)

    with pytest.raises(IntegrityError, match=r"0\.safetensors: ends at byte 50001, before its tensors do"):
        read(tmp_path, place, tick)
    assert threads() == set()


def test_a_file_that_is_cut_short_is_refused_by_its_header(tmp_path: Path) -> None:
    save(tmp_path, [[((1000,), torch.float32)]])
    os.truncate(tmp_path / "0.safetensors", 3000)
    with pytest.raises(IntegrityError, match=r"0\.safetensors: "):
        read_headers(tmp_path)


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    save(tmp_path, [[((10,), torch.float32)]])
    stored = read_headers(tmp_path)
    (tmp_path / "0.safetensors").unlink()
    with pytest.raises(IntegrityError, match=r"0\.safetensors: No such file"):
        read_tensors(stored, as_stored(stored), TO_THE_HOST)


@PLACES
def test_a_disk_that_fails_is_told_with_the_byte(
    tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch, threads: Callable[[], set[str]]
) -> None:
    save(tmp_path, [[((1000,), torch.float32)]])
    kernel = os.preadv

    def fail(descriptor: int, buffers: Any, begin: int) -> int:
        if begin > 2000:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return kernel(descriptor, buffers, begin)

    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(IntegrityError, match=r"0\.safetensors: Input/output error at byte 2\d\d\d"):
        read(tmp_path, place)
    assert threads() == set()


@PLACES
def test_a_read_that_is_cut_short_by_the_kernel_goes_on(
    tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, [[((3,), torch.uint8), ((50,), torch.float32), ((7,), torch.uint8)]])
    kernel = os.preadv
    monkeypatch.setattr(os, "preadv", lambda of, buffers, begin: kernel(of, [buffers[0][:5]], begin))
    assert same_bytes(read(tmp_path, place), load_file(tmp_path / "0.safetensors"))
