"""Copies from the host's memory to a device's, beside what is computed there.

`StreamCarrier` has not been run on a GPU by this project's tests; there the CPU is in the GPU's place.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor


class Carrier(Protocol):
    """What is carried is cast if source and target differ in dtype."""

    pinned: bool  # whether the host's buffers must be

    def carry(self, source: Tensor, target: Tensor) -> Any:
        """Begin a copy, after all that was launched so far; what is returned can be waited for."""

    def await_arrival(self, copy: Any) -> None:
        """What is launched from now on comes after this copy."""

    def wait(self, copy: Any) -> None:
        """The host waits until this copy has left its source. Of any thread."""

    def settle(self) -> None:
        """What is launched, or freed, from now on comes after every copy."""


class StreamCarrier:
    """On a CUDA stream of its own. The host waits in `wait` only. A cast is made on the device."""

    pinned = True

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def carry(self, source: Tensor, target: Tensor) -> torch.cuda.Event:
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            if source.dtype != target.dtype:
                source = source.to(self._device, non_blocking=True)
            target.copy_(source, non_blocking=True)
            return self._stream.record_event()

    def await_arrival(self, copy: torch.cuda.Event) -> None:
        torch.cuda.current_stream(self._device).wait_event(copy)

    def wait(self, copy: torch.cuda.Event) -> None:
        copy.synchronize()

    def settle(self) -> None:
        torch.cuda.current_stream(self._device).wait_stream(self._stream)


class PlainCarrier:
    """At once, where there is no such stream."""

    pinned = False

    def carry(self, source: Tensor, target: Tensor) -> None:
        target.copy_(source)

    def await_arrival(self, copy: None) -> None:
        pass

    def wait(self, copy: None) -> None:
        pass

    def settle(self) -> None:
        pass


def build_carrier(device: torch.device) -> Carrier:
    return StreamCarrier(device) if device.type == "cuda" else PlainCarrier()
