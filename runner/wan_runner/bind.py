"""Bind the best rung of the Task to what is really free here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from wan_core.errors import DeviceOutOfMemory, HostOutOfMemory, IncompatibleHardware
from wan_core.plan.choose import bind
from wan_core.plan.inventory import Device
from wan_core.plan.rungs import Rung
from wan_core.task import Task
from wan_runner.devices import find_cpu, find_gpu

NoFit = (DeviceOutOfMemory, HostOutOfMemory, IncompatibleHardware)


@dataclass(frozen=True)
class Bound:
    """The rung that runs, the device it runs on, and why each better one does not, `label: why`."""

    rung: Rung
    device: Device
    refused: tuple[str, ...]


def find_devices(task: Task) -> tuple[Device, ...]:
    """The devices that the rungs name, a GPU before the CPU; the CPU where there is no GPU."""
    kinds = {rung.plan.device for rung in task.rungs}
    gpu = find_gpu() if "cuda" in kinds else None
    gpus = (gpu,) if gpu is not None else ()
    return (*gpus, find_cpu()) if "cpu" in kinds or gpu is None else gpus


def bind_devices(task: Task, devices: Iterable[Device]) -> Bound:
    """The first of `devices` on which a rung fits. Rungs for another kind of device are no refusals of it.

    Raises what the first device says, IncompatibleHardware, DeviceOutOfMemory or HostOutOfMemory, with every
    refusal, if none fits.
    """
    refused: tuple[str, ...] = ()
    failure: DeviceOutOfMemory | HostOutOfMemory | IncompatibleHardware | None = None
    for device in devices:
        rungs = [r for r in task.rungs if r.plan.device == device.kind] or list(task.rungs)
        try:
            binding = bind(rungs, device, task.excluded, only=task.gpu_products)
        except NoFit as error:
            failure = failure or error
            refused += (error.message,)
        else:
            return Bound(binding.rung, device, refused + binding.refused)
    assert failure is not None, "there is always a device: the CPU"
    raise failure
