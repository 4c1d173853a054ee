from __future__ import annotations

import pytest

from tests.wan_runner.tasks import build_rung, build_task
from wan_core.errors import DeviceOutOfMemory, HostOutOfMemory, IncompatibleHardware
from wan_core.plan.choose import Exclusion
from wan_core.plan.inventory import Device
from wan_runner.bind import bind_devices


def gpu(free: float) -> Device:
    return Device(
        kind="cuda",
        product="NVIDIA H100",
        total_gib=80,
        free_gib=free,
        host_free_gib=100,
        compute_capability=(9, 0),
    )


def cpu(free: float) -> Device:
    return Device(kind="cpu", product="CPU (2 cores)", total_gib=16, free_gib=free, host_free_gib=free)


RESIDENT = build_rung("t2v-A14B", "cuda", gib=70)
OFFLOAD = build_rung("t2v-A14B", "cuda", "bf16", "component-offload", gib=35)
TINY_GPU = build_rung("wan-tiny", "cuda", gib=1)
TINY_CPU = build_rung("wan-tiny", "cpu", gib=1)


def test_the_best_rung_that_fits_and_why_not_the_better_one() -> None:
    bound = bind_devices(build_task(RESIDENT, OFFLOAD), [gpu(free=60)])
    assert bound.rung == OFFLOAD
    (refusal,) = bound.refused
    assert refusal.startswith("t2v-A14B/cuda/bf16+resident: needs 70.0 GiB")
    assert "60.0 GiB are free" in refusal


def test_a_plan_for_the_cpu_where_no_gpu_is() -> None:
    assert bind_devices(build_task(TINY_GPU, TINY_CPU), [cpu(free=4)]).rung == TINY_CPU


def test_the_gpu_comes_first_and_its_refusals_stay_known() -> None:
    assert bind_devices(build_task(TINY_GPU, TINY_CPU), [gpu(60), cpu(4)]).rung == TINY_GPU
    bound = bind_devices(build_task(TINY_GPU, TINY_CPU), [gpu(0.5), cpu(4)])
    assert (bound.rung, bound.device.kind) == (TINY_CPU, "cpu")
    assert "needs 1.0 GiB" in bound.refused[0]


def test_what_failed_before_is_not_tried_again() -> None:
    excluded = (Exclusion(plan=RESIDENT.plan.label, product="NVIDIA H100"),)
    assert bind_devices(build_task(RESIDENT, OFFLOAD, excluded=excluded), [gpu(79)]).rung == OFFLOAD


def test_only_the_gpu_products_that_the_task_names_are_bound() -> None:
    rungs = (TINY_GPU, TINY_CPU)
    assert bind_devices(build_task(*rungs, gpu_products=("NVIDIA-H100",)), [gpu(60)]).rung == TINY_GPU
    with pytest.raises(IncompatibleHardware, match="allows only NVIDIA-H200") as caught:
        bind_devices(build_task(*rungs, gpu_products=("NVIDIA-H200",)), [gpu(60), cpu(4)])
    assert "no plan fits NVIDIA H100" in caught.value.message


@pytest.mark.parametrize(
    ("rungs", "devices", "error"),
    [
        ((RESIDENT,), [gpu(10)], DeviceOutOfMemory),
        ((TINY_CPU,), [cpu(0.5)], HostOutOfMemory),
        ((RESIDENT,), [cpu(400)], IncompatibleHardware),
        ((RESIDENT, TINY_CPU), [gpu(10), cpu(0.5)], DeviceOutOfMemory),
    ],
    ids=["GPU too small", "host too small", "no GPU", "both too small: the better device's reason"],
)
def test_when_nothing_fits_the_reason_has_the_numbers(rungs: tuple, devices: list, error: type) -> None:
    with pytest.raises(error, match="no plan fits"):
        bind_devices(build_task(*rungs), devices)
