"""Blocks of a transformer that pass through the device one by one.

Each block's weights lie packed in one run of host memory, and are copied as one into one of two buffers on
the device: while a block computes from the one, the next block arrives in the other, after the last the first
again. For a GPU that memory is pinned, several blocks in one allocation, because torch rounds each up to a
power of two. What a block's `forward` does not use, the projections of a text, comes by itself when it is
called. Over CUDA's own stream this has not been run by this project's tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from wan_core.plan.host import share_buffers
from wan_core.weights.carrier import Carrier
from wan_core.weights.places import ALIGNMENT

BESIDE_FORWARD = ("cross_attention.kv", "cross_attention.norm_k")  # Block.forward is given what these make


class Streamed:
    """Owns the two buffers and whose weights are in them. `tensors` are those that pass."""

    def __init__(self, blocks: Sequence[nn.Module], device: torch.device, carrier: Carrier) -> None:
        self._device, self._carrier = device, carrier
        visitors = [_beside_forward(block) for block in blocks]
        self._visits = [Visit(module, device) for found in visitors for module in found]
        owned = [_own_tensors(block, found) for block, found in zip(blocks, visitors, strict=True)]
        masters = allocate([packed_size(tensors) for tensors in owned], pinned=carrier.pinned)
        self._packs = [Pack(tensors, master) for tensors, master in zip(owned, masters, strict=True)]
        self.tensors = [t for owner in (*self._packs, *self._visits) for t in owner.tensors]
        self._buffers: list[Tensor] = []
        self._copies: list[Any] = [None, None]  # under way into each buffer
        self._turn = 0  # the buffer that is filled next
        self._coming: int | None = None
        self._here: int | None = None
        for index, block in enumerate(blocks):
            block.register_forward_pre_hook(lambda _module, _args, index=index: self._bring(index))

    def enter(self) -> None:
        """Take the two buffers."""
        size = max(pack.master.numel() for pack in self._packs)
        self._buffers = [torch.empty(size, dtype=torch.uint8, device=self._device) for _ in range(2)]

    def leave(self) -> None:
        """Give them back, once nothing is copied into them."""
        self._carrier.settle()
        for visit in self._visits:
            visit.leave()
        self._send_home()
        self._coming, self._buffers = None, []

    def _bring(self, index: int) -> None:
        """Have block `index` on the device, and the next one on its way."""
        if self._coming != index:
            self._fetch(index)
        buffer = 1 - self._turn
        self._carrier.await_arrival(self._copies[buffer])
        self._send_home()
        self._packs[index].point_to(self._buffers[buffer])
        self._here = index
        self._fetch((index + 1) % len(self._packs))

    def _fetch(self, index: int) -> None:
        """Copy into the buffer whose turn it is: its last user has been launched before."""
        master, buffer = self._packs[index].master, self._buffers[self._turn]
        self._copies[self._turn] = self._carrier.carry(master, buffer[: master.numel()])
        self._coming, self._turn = index, 1 - self._turn

    def _send_home(self) -> None:
        if self._here is not None:
            self._packs[self._here].point_to(self._packs[self._here].master)
            self._here = None


class Pack:
    """The tensors of one block as views of one buffer; `master` is the one on the host."""

    def __init__(self, tensors: Sequence[Tensor], master: Tensor) -> None:
        self.tensors, self.master = tensors, master
        self._layout: list[tuple[int, int, torch.dtype, torch.Size]] = []
        begin = 0
        for tensor in self.tensors:
            self._layout.append((begin, begin + tensor.nbytes, tensor.dtype, tensor.shape))
            begin += aligned(tensor)
        values = [tensor.data for tensor in self.tensors]
        self.point_to(self.master)
        for tensor, value in zip(self.tensors, values, strict=True):
            tensor.data.copy_(value)

    def point_to(self, buffer: Tensor) -> None:
        """Make the tensors views of `buffer`."""
        for tensor, (begin, end, dtype, shape) in zip(self.tensors, self._layout, strict=True):
            tensor.data = buffer[begin:end].view(dtype).view(shape)


def aligned(tensor: Tensor) -> int:
    """Bytes from this tensor to the next."""
    return -(-tensor.nbytes // ALIGNMENT) * ALIGNMENT


def packed_size(tensors: Iterable[Tensor]) -> int:
    return sum(map(aligned, tensors))


def allocate(sizes: Sequence[int], *, pinned: bool) -> Iterator[Tensor]:
    """Host memory for each block in turn; what is pinned, as it is needed, for several blocks at once."""
    if not pinned:
        yield from (torch.empty(size, dtype=torch.uint8) for size in sizes)
        return
    size = max(sizes)
    for count in share_buffers(len(sizes), size):
        buffer = torch.empty(count * size, dtype=torch.uint8, pin_memory=True)
        yield from buffer.split(size)


class Visit:
    """A module whose weights come when it is called, and go when it is done."""

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        self._masters = {tensor: tensor.data for tensor in module.parameters()}
        self.tensors = list(self._masters)
        self._device = device
        module.register_forward_pre_hook(lambda _module, _args: self._enter())
        module.register_forward_hook(lambda _module, _args, _output: self.leave())

    def _enter(self) -> None:
        for tensor, master in self._masters.items():
            tensor.data = master.to(self._device, copy=True)

    def leave(self) -> None:
        for tensor, master in self._masters.items():
            tensor.data = master


def _beside_forward(block: nn.Module) -> list[nn.Module]:
    named = dict(block.named_modules())
    return [named[name] for name in BESIDE_FORWARD if name in named]


def _own_tensors(block: nn.Module, without: Iterable[nn.Module]) -> list[Tensor]:
    apart = {tensor for module in without for tensor in module.parameters()}
    return [t for t in [*block.parameters(), *block.buffers()] if t not in apart]
