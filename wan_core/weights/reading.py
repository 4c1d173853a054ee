"""Stored tensors into memory: each byte is read once, in the order of the files, by a few threads.

What keeps its dtype and is to lie in this process' memory is read straight into it; the rest passes through a
slot of the ring, from where the calling thread has it carried, and cast. Nothing is mapped: a file that is
cut short while it is read is an IntegrityError, not a SIGBUS. Not covered: O_DIRECT, GPUDirect Storage.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

import torch
from torch import Tensor

from wan_core.errors import IntegrityError
from wan_core.weights.batches import Batch, Piece, in_file_order, plan_batches
from wan_core.weights.places import Place
from wan_core.weights.ring import THREADS, Ring, Slot, find_ring
from wan_core.weights.shards import Shape, Stored, Tick, silent

Filling: TypeAlias = "tuple[Batch, Slot, Future[None]]"


@dataclass(frozen=True)
class Wanted:
    """A tensor to make of the stored tensors `parts`, which fill it one after the other."""

    shape: Shape
    dtype: torch.dtype
    parts: tuple[str, ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_tensors(
    stored: Mapping[str, Stored],
    wanted: Mapping[str, Wanted],
    place: Place,
    tick: Tick = silent,
    ring: Ring | None = None,
) -> dict[str, Tensor]:
    """What is wanted, made of all that `stored` describes, by default through the ring of this process.

    `tick` is called in this thread; whatever it raises ends the reading, and no thread is left. Raises
    IntegrityError if a file cannot be read, or ends before its tensors do.
    """
    ring = ring or find_ring(pinned=place.carrier.pinned)
    made = _allocate(stored, wanted, place)
    route = _Route(stored, _aim(stored, wanted, made), place)
    with ring.held() as slots, ExitStack() as stack:
        files = {file: stack.enter_context(_Opened(file)) for file in {one.file for one in stored.values()}}
        total = sum(file.nbytes for file in files.values())
        done = total - sum(one.nbytes for one in stored.values())  # headers, which are read by now
        under_way: deque[Filling] = deque()

        def land() -> None:
            nonlocal done
            batch, slot, filled = under_way.popleft()
            filled.result()
            for piece in batch.pieces:
                route.carry(piece, slot)
                done += piece.nbytes
                tick(min(done, total), total)

        stack.callback(place.carrier.settle)
        pool = stack.enter_context(ThreadPoolExecutor(THREADS, "weights"))
        stack.callback(lambda: [filled.cancel() for *_, filled in under_way])
        for batch, slot in zip(plan_batches(stored, ring.slot_bytes), cycle(slots), strict=False):
            if len(under_way) == len(slots):
                land()
            under_way.append((batch, slot, pool.submit(route.fill, files[batch.file], batch, slot)))
        while under_way:
            land()
    return made


def _allocate(stored: Mapping[str, Stored], wanted: Mapping[str, Wanted], place: Place) -> dict[str, Tensor]:
    """Memory for what is wanted, file by file in the order in which it is read."""
    first = {name: stored[one.parts[0]] for name, one in wanted.items()}
    by_file: dict[Path, list[str]] = {}
    for name, one in in_file_order(first):
        by_file.setdefault(one.file, []).append(name)
    made: dict[str, Tensor] = {}
    for names in by_file.values():
        buffers = place.allocate([wanted[name].nbytes for name in names])
        for name, buffer in zip(names, buffers, strict=True):
            made[name] = buffer.view(wanted[name].dtype).view(wanted[name].shape)
    return {name: made[name] for name in wanted}


def _aim(
    stored: Mapping[str, Stored], wanted: Mapping[str, Wanted], made: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Where the elements of each stored tensor are to lie, in one row."""
    targets: dict[str, Tensor] = {}
    for name, one in wanted.items():
        counts = [math.prod(stored[part].shape) for part in one.parts]
        targets |= zip(one.parts, made[name].view(-1).split(counts), strict=True)
    return targets


@dataclass(frozen=True)
class _Route:
    """Which way the pieces of stored tensors go."""

    stored: Mapping[str, Stored]
    targets: Mapping[str, Tensor]
    place: Place

    def fill(self, file: _Opened, batch: Batch, slot: Slot) -> None:
        """Read a batch, each piece to where it is read to, once the slot may be written to."""
        if slot.copy is not None:
            self.place.carrier.wait(slot.copy)
            slot.copy = None
        file.read(batch.begin, [self._read_to(piece, slot) for piece in batch.pieces])

    def carry(self, piece: Piece, slot: Slot) -> None:
        """Begin the copy of a piece that was read into the slot, if it was."""
        if self._is_direct(piece):
            return
        dtype = self.stored[piece.name].torch_dtype
        source = slot.bytes[piece.at : piece.at + piece.nbytes].view(dtype)
        first = piece.skip // dtype.itemsize
        target = self.targets[piece.name][first : first + len(source)]
        slot.copy = self.place.carrier.carry(source, target)

    def _is_direct(self, piece: Piece) -> bool:
        return self.place.direct and self.targets[piece.name].dtype == self.stored[piece.name].torch_dtype

    def _read_to(self, piece: Piece, slot: Slot) -> memoryview:
        if self._is_direct(piece):
            room = self.targets[piece.name].view(torch.uint8)[piece.skip : piece.skip + piece.nbytes]
        else:
            room = slot.bytes[piece.at : piece.at + piece.nbytes]
        return memoryview(room.numpy())


class _Opened:
    """A file to read from, in any thread. Owns the descriptor."""

    def __init__(self, file: Path) -> None:
        self._name = f"{file.parent.name}/{file.name}"
        try:
            self._descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise IntegrityError(f"{self._name}: {error.strerror}") from error
        self.nbytes = os.fstat(self._descriptor).st_size

    def __enter__(self) -> _Opened:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def read(self, begin: int, buffers: list[memoryview]) -> None:
        """Fill the buffers one after the other with what follows byte `begin`."""
        while buffers:
            try:
                got = os.preadv(self._descriptor, buffers, begin)
            except OSError as error:
                raise IntegrityError(f"{self._name}: {error.strerror} at byte {begin}") from error
            if not got:
                raise IntegrityError(f"{self._name}: ends at byte {begin}, before its tensors do")
            begin += got
            buffers = _behind(buffers, got)


def _behind(buffers: list[memoryview], count: int) -> list[memoryview]:
    """What is left of buffers of which so many bytes are full."""
    for index, buffer in enumerate(buffers):
        if count < len(buffer):
            return [buffer[count:], *buffers[index + 1 :]]
        count -= len(buffer)
    return []
