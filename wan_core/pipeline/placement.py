"""Where the weights of a loaded model lie while they are not in use, and how they get onto the device.

The masters of parts that move stay on the host and are never written: taking a part off the device drops its
copy, nothing is copied back. Not covered: pinned masters for whole parts, more than one GPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from wan_core.pipeline.streaming import Streamed
from wan_core.weights.carrier import build_carrier


class Placement(Protocol):
    """How one part that moves gets onto the device and off it."""

    def enter(self) -> None: ...

    def leave(self) -> None: ...


class Whole:
    """All of these tensors at once."""

    def __init__(self, tensors: Iterable[Tensor], device: torch.device) -> None:
        self._masters = {tensor: tensor.data for tensor in tensors}
        self._device = device

    def enter(self) -> None:
        for tensor, master in self._masters.items():
            tensor.data = master.to(self._device, copy=True)

    def leave(self) -> None:
        for tensor, master in self._masters.items():
            tensor.data = master


class BlockByBlock:
    """The blocks of a transformer as they are used; the rest of it whole."""

    def __init__(self, part: nn.Module, device: torch.device) -> None:
        self._blocks = Streamed(list(part.blocks), device, build_carrier(device))  # type: ignore[arg-type]
        passing = set(self._blocks.tensors)
        self._rest = Whole((t for t in [*part.parameters(), *part.buffers()] if t not in passing), device)

    def enter(self) -> None:
        self._rest.enter()
        self._blocks.enter()

    def leave(self) -> None:
        self._blocks.leave()
        self._rest.leave()


class Residency:
    """Owns what is on the device. Parts not named to `hold`, `take_turns` or `stream` stay on the host.

    `bring(name)` makes a part ready to run; of those that take turns or are streamed, one at a time is there.
    """

    def __init__(self, parts: Mapping[str, nn.Module], device: torch.device) -> None:
        self.parts = parts
        self.device = device
        self.on_host: set[str] = set()
        self.present: str | None = None
        self._placements: dict[str, Placement] = {}

    def device_of(self, name: str) -> torch.device:
        """Where part `name` computes."""
        return torch.device("cpu") if name in self.on_host else self.device

    def keep_on_host(self, name: str) -> None:
        """This part runs on the CPU; no other placement moves it. Must come before them."""
        self.on_host.add(name)

    def hold(self, names: Iterable[str]) -> None:
        """These parts stay on the device for the whole attempt."""
        for name in self._movable(names):
            self.parts[name].to(self.device)

    def take_turns(self, names: Iterable[str]) -> None:
        """At most one of these parts is on the device. One that is called brings itself."""
        for name in self._movable(names):
            part = self.parts[name]
            self._place(name, Whole([*part.parameters(), *part.buffers()], self.device))

    def stream(self, names: Iterable[str]) -> None:
        """The blocks of these parts come one by one, the next one while the present one computes."""
        for name in self._movable(names):
            self._place(name, BlockByBlock(self.parts[name], self.device))

    def bring(self, name: str) -> None:
        """Make part `name` ready to run. Does nothing for parts held or kept on the host."""
        if name not in self._placements or name == self.present:
            return
        self.release()
        self.present = name  # so that what has come half is dropped too
        self._placements[name].enter()

    def release(self) -> None:
        """Drop the device copy of whichever part has its turn."""
        if self.present is not None:
            self._placements[self.present].leave()
            self.present = None
            if self.device.type == "cuda":
                torch.cuda.empty_cache()  # else the next part's blocks are sought beside the freed ones

    def _place(self, name: str, placement: Placement) -> None:
        self._placements[name] = placement
        self.parts[name].register_forward_pre_hook(lambda _module, _args: self.bring(name))

    def _movable(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name in self.parts and name not in self.on_host]
