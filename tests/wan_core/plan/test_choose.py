from __future__ import annotations

from typing import Any

import pytest

from tests.wan_core.plan.worlds import inventory_of, request_of
from wan_core.errors import (
    TABLE,
    Category,
    DeviceOutOfMemory,
    HostOutOfMemory,
    IncompatibleHardware,
    WanError,
)
from wan_core.plan.calibration import Calibration, Measurement
from wan_core.plan.choose import Exclusion, Failure, bind, exclude, weaker, why_not
from wan_core.plan.criteria import Criteria
from wan_core.plan.inventory import Device
from wan_core.plan.ladder import build_ladder
from wan_core.plan.rungs import Ladder

H100, RTX_4090, H200 = "NVIDIA-H100-80GB-HBM3", "NVIDIA-GeForce-RTX-4090", "NVIDIA-H200"
OOM, HOST_OOM = Category.CUDA_OUT_OF_MEMORY, Category.HOST_OUT_OF_MEMORY
INCOMPATIBLE = Category.INCOMPATIBLE_HARDWARE


def gpu(product: str = "NVIDIA H200", free: float = 139.0, host: float = 200.0, capability=(9, 0)) -> Device:  # type: ignore[no-untyped-def]
    return Device(
        kind="cuda",
        product=product,
        total_gib=141,
        free_gib=free,
        host_free_gib=host,
        compute_capability=capability,
    )


def cpu(free: float) -> Device:
    return Device(kind="cpu", product="CPU (2 cores)", total_gib=16, free_gib=free, host_free_gib=free)


def ladder_of(model: str, *products: str, **fields: Any) -> Ladder:
    return build_ladder([request_of(model, **fields)], inventory_of(*products))


A14B = ladder_of("t2v-A14B", H200, H100, quality="near")
TINY = ladder_of("wan-tiny", H200)


def placements(ladder_rungs: Any) -> list[str]:
    return ["+".join(r.plan.techniques[1:]) for r in ladder_rungs]


def test_the_first_rung_that_fits_what_is_free_is_bound() -> None:
    binding = bind(A14B.runnable, gpu(free=139))
    assert binding.rung is A14B.runnable[0]
    assert binding.refused == ()


def test_a_fuller_card_gets_a_weaker_rung_and_is_told_why() -> None:
    binding = bind(A14B.runnable, gpu(free=40))
    assert not binding.rung.plan.uses("resident")
    need = A14B.runnable[0].memory.peak_gib
    assert binding.refused[0] == (
        f"t2v-A14B/cuda/bf16+resident: needs {need:.1f} GiB (decode), 40.0 GiB are free"
    )


@pytest.mark.parametrize(
    ("ladder", "device", "error", "says"),
    [
        pytest.param(A14B, gpu(free=3), DeviceOutOfMemory, "3.0 GiB are free", id="full card"),
        pytest.param(A14B, gpu(free=50, host=1), HostOutOfMemory, "1.0 GiB are free", id="full host"),
        pytest.param(A14B, cpu(64), IncompatibleHardware, "is for cuda, this is cpu", id="no GPU"),
        pytest.param(A14B, gpu("Tesla T4", capability=(7, 5)), IncompatibleHardware, "has 7.5", id="no bf16"),
        pytest.param(
            ladder_of("wan-tiny"), cpu(0.5), HostOutOfMemory, "0.5 GiB are free", id="small machine"
        ),
    ],
)
def test_a_device_on_which_nothing_fits_is_refused_with_the_numbers(
    ladder: Ladder, device: Device, error: type[WanError], says: str
) -> None:
    with pytest.raises(error, match=says) as caught:
        bind(ladder.runnable, device)
    assert device.product in str(caught.value)


def test_an_excluded_plan_is_not_bound_on_that_product_however_it_is_spelt() -> None:
    first = A14B.runnable[0].plan.label
    excluded = [Exclusion(plan=first, product="NVIDIA-H200")]
    assert bind(A14B.runnable, gpu("NVIDIA H200"), excluded).refused == (
        f"{first}: failed before on NVIDIA H200",
    )
    assert bind(A14B.runnable, gpu("NVIDIA H100 NVL"), excluded).rung.plan.label == first


@pytest.mark.parametrize(
    ("only", "device"),
    [
        pytest.param(("NVIDIA-H200",), gpu("NVIDIA H200"), id="the product, as the GPU spells it"),
        pytest.param((RTX_4090, "nvidia-h200"), gpu("NVIDIA H200"), id="one of two"),
        pytest.param(("NVIDIA-H200-SHARED",), gpu("NVIDIA H200"), id="time-sliced, which only labels say"),
        pytest.param((), gpu("NVIDIA B300"), id="any, also one that no rung knows"),
    ],
)
def test_a_gpu_product_that_the_request_allows_is_bound(only: tuple[str, ...], device: Device) -> None:
    assert bind(A14B.runnable, device, only=only).rung == A14B.runnable[0]


@pytest.mark.parametrize(
    ("only", "device"),
    [
        pytest.param(("NVIDIA-H200",), gpu("NVIDIA GeForce RTX 4090"), id="another product"),
        pytest.param(("NVIDIA-H200",), gpu("NVIDIA H200 MIG 1g.18gb"), id="a part of one"),
        pytest.param(("NVIDIA-H200",), cpu(64), id="a CPU"),
    ],
)
def test_a_device_that_the_request_does_not_allow_is_refused_however_much_is_free(
    only: tuple[str, ...], device: Device
) -> None:
    rungs = [r for r in TINY.runnable if r.plan.device == device.kind]
    assert bind(rungs, device).rung == rungs[0]
    with pytest.raises(IncompatibleHardware, match="gpuProducts allows only NVIDIA-H200"):
        bind(rungs, device, only=only)


def test_when_everything_is_excluded_the_hardware_is_what_is_wrong() -> None:
    with pytest.raises(IncompatibleHardware, match="failed before"):
        bind(A14B.runnable, gpu(), [Exclusion(plan=r.plan.label) for r in A14B.rungs])


def test_out_of_device_memory_leaves_only_smaller_plans_on_that_product() -> None:
    ladder = ladder_of("t2v-A14B", H200, quality="near")
    failed = next(r for r in ladder.runnable if r.plan.uses("component-offload"))
    left = weaker(ladder, [Failure(failed.plan.label, OOM, "NVIDIA H200")])
    assert left
    assert all(r.memory.peak_gib < failed.memory.peak_gib for r in left)


def test_an_oom_on_a_4090_does_not_ban_an_h100() -> None:
    ladder = ladder_of("ti2v-5B", RTX_4090, H100)
    offload = next(r for r in ladder.runnable if r.products == (H100, RTX_4090)[::-1] or len(r.products) == 2)
    failures = [Failure(offload.plan.label, OOM, RTX_4090)]
    assert offload in weaker(ladder, failures)
    excluded = exclude(ladder, failures)
    assert excluded
    assert all(e.product == RTX_4090 for e in excluded)
    device = gpu("NVIDIA H100 80GB HBM3", free=60)
    assert bind(weaker(ladder, failures), device, excluded).rung == ladder.runnable[0]


def test_an_oom_where_the_ladder_saw_no_such_gpu_excludes_everywhere() -> None:
    ladder = ladder_of("ti2v-5B", RTX_4090)
    failed = ladder.runnable[0]
    assert Exclusion(plan=failed.plan.label) in exclude(
        ladder, [Failure(failed.plan.label, OOM, "NVIDIA-L4")]
    )
    assert failed not in weaker(ladder, [Failure(failed.plan.label, OOM, None)])


def test_out_of_host_memory_leaves_only_plans_with_less_of_it() -> None:
    failed = next(r for r in A14B.runnable if r.plan.uses("component-offload"))
    left = weaker(A14B, [Failure(failed.plan.label, HOST_OOM, H200)])
    assert {p.split("+")[0] for p in placements(left)} == {"resident"}
    assert all(r.memory.host_gib < failed.memory.host_gib for r in left)


def test_incompatible_hardware_leaves_other_devices() -> None:
    ladder = ladder_of("wan-tiny", H200)
    failed = ladder.runnable[0]
    left = weaker(ladder, [Failure(failed.plan.label, INCOMPATIBLE, H200)])
    assert [r.plan.device for r in left] == ["cpu"]


def test_incompatible_hardware_speaks_of_its_product_and_not_of_another() -> None:
    ladder = ladder_of("ti2v-5B", RTX_4090, H100)
    failed = next(r for r in ladder.runnable if len(r.products) == 2)
    failures = [Failure(failed.plan.label, INCOMPATIBLE, RTX_4090)]
    left, excluded = weaker(ladder, failures), exclude(ladder, failures)
    assert {p for r in left for p in r.products if not any(e.covers(r.plan.label, p) for e in excluded)} == {
        H100
    }


def test_a_gpu_that_the_plan_was_never_for_speaks_of_its_techniques_alone() -> None:
    """A node without labels: a plan in bf16 came to a T4, where plans in float32 may run."""
    ladder = ladder_of("t2v-1.3B", "Tesla-T4", H100)
    failed = next(r for r in ladder.runnable if r.plan.uses("bf16"))
    left = weaker(ladder, [Failure(failed.plan.label, INCOMPATIBLE, "Tesla-T4")])
    assert failed not in left
    assert any(r.plan.uses("fp32") for r in left)


MEASURED = Calibration(
    tuple(
        Measurement(
            product="NVIDIA-H200", plan=r.plan.label, width=1280, height=720, frames=81, peak_gib=peak
        )
        for r, peak in ((A14B.runnable[0], 500.0), (A14B.runnable[1], 1.0))
    )
)


def test_what_was_measured_on_a_product_counts_there_and_nowhere_else() -> None:
    ladder = build_ladder(
        [request_of("t2v-A14B", quality="near")],
        inventory_of(H200, H100),
        criteria=Criteria(calibration=MEASURED),
    )
    more, less = (next(r for r in ladder.rungs if r.plan == A14B.runnable[i].plan) for i in (0, 1))
    assert more.need_on("NVIDIA H200").peak_gib > more.memory.peak_gib == more.need_on(H100).peak_gib
    assert less.need_on(H200).peak_gib < less.memory.peak_gib
    assert any("1 measured on NVIDIA-H200" in note for note in (*more.notes, *less.notes))
    enough = gpu(free=more.memory.peak_gib + 0.5)
    assert "needs" in why_not(more, enough)
    assert why_not(more, gpu("NVIDIA H100 80GB HBM3", free=more.memory.peak_gib + 0.5)) == ""
    bound = bind([less], gpu(free=139)).rung
    assert bound.memory == less.need_on(H200)


@pytest.mark.parametrize(
    "category", [c for c in Category if not TABLE[c].other_plan and not TABLE[c].retryable]
)
def test_a_failure_that_no_plan_avoids_ends_the_matter(category: Category) -> None:
    assert weaker(A14B, [Failure(A14B.rungs[0].plan.label, category)]) == ()


@pytest.mark.parametrize("category", [c for c in Category if TABLE[c].retryable])
def test_a_failure_that_may_pass_excludes_nothing(category: Category) -> None:
    failures = [Failure(A14B.rungs[0].plan.label, category, H200)]
    assert weaker(A14B, failures) == A14B.runnable
    assert exclude(A14B, failures) == ()


def test_without_failures_every_runnable_rung_is_left() -> None:
    assert weaker(A14B, []) == A14B.runnable
