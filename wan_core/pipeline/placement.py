"""Where the weights of a loaded model lie while they are not in use, and how they get onto the device.

The masters of parts that move stay on the host and are never written: taking a part off the device drops its
copy, nothing is copied back. Not covered: pinned masters for whole parts, more than one GPU.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from diffusers.hooks import apply_group_offloading
from torch import nn


class Residency:
    """Owns what is on the device. Parts not named to `hold`, `take_turns` or `stream` stay on the host.

    `bring(name)` makes a part ready to run; among those that take turns it takes the others off the device
    first.
    """

    def __init__(self, parts: dict[str, nn.Module], device: torch.device) -> None:
        self.parts = parts
        self.device = device
        self.on_host: set[str] = set()
        self._masters: dict[str, dict[nn.Parameter | torch.Tensor, torch.Tensor]] = {}
        self.present: str | None = None

    def keep_on_host(self, name: str) -> None:
        """This part runs on the CPU; no other placement moves it. Must come before them."""
        self.on_host.add(name)

    def hold(self, names: Iterable[str]) -> None:
        """These parts stay on the device for the whole attempt."""
        for name in self._movable(names):
            self.parts[name].to(self.device)

    def take_turns(self, names: Iterable[str]) -> None:
        """Of these parts at most one is on the device; one that is called by the pipeline brings itself."""
        for name in self._movable(names):
            part = self.parts[name]
            self._masters[name] = {tensor: tensor.data for tensor in [*part.parameters(), *part.buffers()]}
            part.register_forward_pre_hook(lambda _module, _args, name=name: self.bring(name))

    def stream(self, names: Iterable[str], *, use_stream: bool) -> None:
        """The blocks of these parts come one by one, the next one while the present one computes."""
        for name in self._movable(names):
            self.parts[name].register_forward_pre_hook(lambda _module, _args: self.release())
            apply_group_offloading(
                self.parts[name],
                onload_device=self.device,
                offload_device=torch.device("cpu"),
                offload_type="block_level",
                num_blocks_per_group=1,
                use_stream=use_stream,
            )

    def bring(self, name: str) -> None:
        """Make part `name` ready to run. Does nothing for parts held, streamed or kept on the host."""
        if name not in self._masters or name == self.present:
            return
        self.release()
        for tensor, master in self._masters[name].items():
            tensor.data = master.to(self.device, copy=True)
        self.present = name

    def release(self) -> None:
        """Drop the device copy of whichever part has its turn."""
        if self.present is not None:
            for tensor, master in self._masters[self.present].items():
                tensor.data = master
            self.present = None
            if self.device.type == "cuda":
                torch.cuda.empty_cache()  # else the next part's blocks are sought beside the freed ones

    def _movable(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name in self.parts and name not in self.on_host]
