"""Time, energy and memory of what runs on a device. A figure that the device cannot give is None."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

ENOUGH_S = 12.0
"""Repetitions stop once they took this long, and were two or more."""
SHORT_S = 2.0


@dataclass(frozen=True)
class Timing:
    """Seconds of each repetition."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> tuple[float, float]:
        return min(self.seconds), max(self.seconds)


def measure(
    call: Callable[[], object], device: torch.device, times: int, until: float = float("inf")
) -> Timing:
    """At most `times` repetitions and at least one; none starts that would end after `until` (monotonic)."""
    seconds = [time_once(call, device)]
    while len(seconds) < times and time.monotonic() + max(seconds) <= until:
        if len(seconds) > 1 and sum(seconds) >= ENOUGH_S:
            break
        seconds.append(time_once(call, device))
    return Timing(tuple(seconds))


def time_once(call: Callable[[], object], device: torch.device) -> float:
    """Seconds from an idle device to an idle device; by the device's own clock if it is a GPU."""
    if device.type != "cuda":
        began = time.perf_counter()
        call()
        return time.perf_counter() - began
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    begin.record()
    call()
    end.record()
    torch.cuda.synchronize(device)
    return begin.elapsed_time(end) / 1000


def measure_short(call: Callable[[], object], device: torch.device, times: int = 20) -> float:
    """Median seconds of a call that may take less than a launch: two to warm up, then back to back.

    Fewer times where these would take longer than `SHORT_S`.
    """
    call()
    once = time_once(call, device)
    times = max(1, min(times, int(SHORT_S / max(once, 1e-6))))
    if device.type != "cuda":
        return measure(call, device, min(times, 5)).median
    events = [torch.cuda.Event(enable_timing=True) for _ in range(times + 1)]
    torch.cuda.synchronize(device)
    for event in events[:-1]:
        event.record()
        call()
    events[-1].record()
    torch.cuda.synchronize(device)
    return statistics.median(begin.elapsed_time(end) / 1000 for begin, end in itertools.pairwise(events))


class Joules:
    """Energy counted by the driver (NVML). `read` is None, and `why` says why, where there is none."""

    def __init__(self, device: torch.device) -> None:
        self.why, self._handle = "", None
        if device.type != "cuda":
            self.why = f"{device.type} has no energy counter that is read here"
            return
        try:
            import pynvml
        except ImportError:
            self.why = "pynvml is not installed"
            return
        self._nvml = pynvml
        try:
            pynvml.nvmlInit()
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(
                f"GPU-{torch.cuda.get_device_properties(device).uuid}"
            )
            self.read()
        except pynvml.NVMLError as error:
            self._handle, self.why = None, f"NVML: {error}"

    def read(self) -> float | None:
        """Joules since the driver was loaded."""
        if self._handle is None:
            return None
        return self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1000


def start_memory(device: torch.device) -> int:
    """Bytes that are taken now; the peak counts from here."""
    if device.type != "cuda":
        return 0
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def peak_memory(device: torch.device) -> int | None:
    """Bytes that tensors took at the highest since `start_memory`."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
