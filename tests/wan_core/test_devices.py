from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from wan_core import devices
from wan_core.catalog.gpu_card import GpuCard
from wan_core.catalog.gpus import GPUS
from wan_core.errors import IncompatibleHardware
from wan_core.kernels.attention import BACKENDS, lacks
from wan_core.plan.techniques import TECHNIQUES, suits

CPU = torch.device("cpu")
ROWS = [*devices.CUDA.values(), *devices.OTHERS.values()]


@pytest.fixture
def own_tf32() -> Iterator[None]:
    """torch's switches as they were, afterwards."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def test_a_cpu_computes_in_float32_with_pytorchs_own_attention() -> None:
    found = devices.route(CPU)
    assert (found.dtype, found.attention) == (torch.float32, ("sdpa",))


@pytest.mark.parametrize(
    ("capability", "name", "first"),
    [
        ((6, 1), "Maxwell or Pascal", "efficient"),
        ((7, 5), "Volta or Turing", "efficient"),
        ((8, 0), "Ampere", "flash"),
        ((8, 6), "Ampere", "flash"),
        ((8, 9), "Ada", "flash"),
        ((9, 0), "Hopper", "cudnn"),
        ((10, 3), "Blackwell", "cudnn"),
        ((12, 1), "Blackwell RTX", "flash"),
    ],
    ids=str,
)
def test_an_architecture_has_the_newest_row_that_is_not_newer(
    capability: tuple[int, int], name: str, first: str
) -> None:
    found = devices.route_cuda(capability)
    assert (found.name, found.attention[0]) == (name, first)


@pytest.mark.parametrize(
    ("kind", "hip", "name"),
    [("cuda", None, "Hopper"), ("cuda", "7.0", "ROCm"), ("xpu", None, "XPU"), ("cpu", None, "CPU")],
    ids=["CUDA", "ROCm", "XPU", "CPU"],
)
def test_each_kind_of_device_has_its_row(
    kind: str, hip: str | None, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch calls AMD's GPUs cuda; an H100 stands for NVIDIA's."""
    monkeypatch.setattr(torch.version, "hip", hip)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_90"])
    assert devices.route(torch.device(kind)).name == name


@pytest.mark.parametrize("card", [c for c in GPUS if c.vendor == "NVIDIA"], ids=lambda card: card.name)
def test_each_card_of_the_catalogue_computes_in_the_precision_that_suits_it(card: GpuCard) -> None:
    assert card.compute_capability is not None
    found = devices.route_cuda(card.compute_capability).dtype
    suited = [t for t in ("bf16", "fp32") if not suits(TECHNIQUES[t], "cuda", card.compute_capability)]
    assert suited == [{torch.bfloat16: "bf16", torch.float32: "fp32"}[found]]


def test_a_gpu_older_than_every_row_is_named_with_both_numbers() -> None:
    with pytest.raises(IncompatibleHardware, match=r"3\.7 is older than 5\.0"):
        devices.route_cuda((3, 7))


def test_a_device_without_a_row_is_named() -> None:
    with pytest.raises(IncompatibleHardware, match="nothing here runs on meta"):
        devices.route(torch.device("meta"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_names_lossless_backends_that_take_its_dtype(row: devices.Route) -> None:
    for name in row.attention:
        assert BACKENDS[name].tier == "lossless"
        assert row.dtype in BACKENDS[name].dtypes


@pytest.mark.parametrize(("since", "row"), devices.CUDA.items(), ids=str)
def test_a_row_for_cuda_names_backends_of_its_architecture(
    since: tuple[int, int], row: devices.Route
) -> None:
    for name in row.attention:
        assert "cuda" in BACKENDS[name].devices
        assert not BACKENDS[name].architectures or since[0] in BACKENDS[name].architectures


def test_the_cpus_backends_lack_nothing() -> None:
    found = devices.route(CPU)
    assert [lacks(BACKENDS[name], CPU, found.dtype) for name in found.attention] == [""]


@pytest.mark.parametrize(
    ("capability", "built", "runs"),
    [
        ((8, 6), ["sm_80"], True),
        ((8, 0), ["sm_86"], False),
        ((9, 0), ["sm_80", "sm_90a"], True),
        ((7, 0), ["sm_75", "sm_80"], False),
        ((10, 0), ["sm_100a"], True),
        ((10, 3), ["sm_100a"], False),
        ((10, 3), ["sm_100f"], True),
        ((12, 0), ["compute_90a"], False),
        ((12, 0), ["sm_90", "compute_90"], True),
        ((12, 0), ["sm_100"], False),
        ((10, 0), ["compute_120"], False),
    ],
    ids=str,
)
def test_code_runs_on_later_gpus_of_its_major_number_and_portable_code_on_all_later_ones(
    capability: tuple[int, int], built: list[str], runs: bool
) -> None:
    if runs:
        devices.check_built(capability, built)
    else:
        with pytest.raises(IncompatibleHardware, match=r"is built for .*, not for compute capability"):
            devices.check_built(capability, built)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, devices.EXPANDABLE),
        ({"PYTORCH_ALLOC_CONF": "backend:native"}, "backend:native"),
        ({"PYTORCH_CUDA_ALLOC_CONF": "backend:native"}, None),
    ],
    ids=["nothing said", "said", "said in the old name"],
)
def test_the_allocator_is_told_unless_the_environment_says_something(
    said: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in devices.ALLOCATOR_VARIABLES:
        monkeypatch.setenv(name, "")  # so that it is taken back afterwards
        monkeypatch.delenv(name)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    devices.apply_allocator(devices.CUDA[(9, 0)])
    assert os.environ.get("PYTORCH_ALLOC_CONF") == expected


def test_a_cpu_tells_the_allocator_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in devices.ALLOCATOR_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    devices.apply_allocator(devices.route(CPU))
    assert "PYTORCH_ALLOC_CONF" not in os.environ


@pytest.mark.usefixtures("own_tf32")
@pytest.mark.parametrize("on", [True, False])
def test_tf32_is_one_switch_for_products_and_convolutions(on: bool) -> None:
    devices.use_tf32(devices.CUDA[(8, 0)], on)
    assert torch.backends.cuda.matmul.allow_tf32 is on
    assert torch.backends.cudnn.allow_tf32 is on
    assert (torch.get_float32_matmul_precision() == "highest") is not on


@pytest.mark.usefixtures("own_tf32")
def test_tf32_is_refused_where_the_hardware_has_none_and_turned_off_anywhere() -> None:
    turing = devices.CUDA[(7, 0)]
    with pytest.raises(IncompatibleHardware, match=r"has no TF32: it exists from compute capability 8\.0 on"):
        devices.use_tf32(turing, on=True)
    devices.use_tf32(turing, on=False)
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(("since", "row"), devices.CUDA.items(), ids=str)
def test_tf32_is_there_from_its_capability_on(since: tuple[int, int], row: devices.Route) -> None:
    assert row.tf32 == (since >= devices.TF32_SINCE)
