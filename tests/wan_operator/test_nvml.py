"""The GPUs of this machine, read off an NVML that plays machines we do not have."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from wan_core.plan.inventory import Gpu
from wan_operator.machine import build_node, read_inventory
from wan_operator.nvml import Seen, choose_visible, read_seen

GIB = 1 << 30


class NVMLError(Exception):
    pass


class NotSupported(NVMLError):
    pass


class NotFound(NVMLError):
    pass


@dataclass
class Card:
    """What the driver tells of a device; `slots` are the places for slices, None an empty one."""

    uuid: str
    name: str
    gib: float | None = 80.0
    capability: tuple[int, int] = (9, 0)
    slots: list[Card | None] | None = None
    cuttable: bool = True
    lost: bool = False


@dataclass
class Driver:
    """The part of pynvml that is used."""

    cards: list[Card]
    works: bool = True
    opened: int = 0
    NVML_DEVICE_MIG_ENABLE: int = 1
    NVMLError: type = field(default=NVMLError)
    NVMLError_NotSupported: type = field(default=NotSupported)
    NVMLError_NotFound: type = field(default=NotFound)

    def nvmlInit(self) -> None:  # noqa: N802 (the names are NVML's)
        if not self.works:
            raise NVMLError("Driver Not Loaded")
        self.opened += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.opened -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:  # noqa: N802
        return self.cards[index]

    def nvmlDeviceGetName(self, card: Card) -> str:  # noqa: N802
        if card.lost:
            raise NVMLError("GPU is lost")
        return card.name

    def nvmlDeviceGetUUID(self, card: Card) -> str:  # noqa: N802
        return card.uuid

    def nvmlDeviceGetCudaComputeCapability(self, card: Card) -> list[int]:  # noqa: N802
        return list(card.capability)

    def nvmlDeviceGetMemoryInfo(self, card: Card) -> Any:  # noqa: N802
        if card.gib is None:
            raise NotSupported
        return SimpleNamespace(total=card.gib * GIB, free=(card.gib - 1) * GIB)

    def nvmlDeviceGetMigMode(self, card: Card) -> list[int]:  # noqa: N802
        if not card.cuttable:
            raise NotSupported
        return [int(card.slots is not None), 0]

    def nvmlDeviceGetMaxMigDeviceCount(self, card: Card) -> int:  # noqa: N802
        return len(card.slots or ())

    def nvmlDeviceGetMigDeviceHandleByIndex(self, card: Card, index: int) -> Card:  # noqa: N802
        part = (card.slots or [])[index]
        if part is None:
            raise NotFound
        return part


def part(uuid: str, name: str = "NVIDIA H100 80GB HBM3 MIG 3g.40gb") -> Card:
    return Card(uuid, name, 39.5)


H100 = Card("GPU-11", "NVIDIA H100 80GB HBM3")
RTX = Card("GPU-22", "NVIDIA GeForce RTX 4090", 23.99, (8, 9), cuttable=False)
CUT = Card("GPU-33", "NVIDIA H100 80GB HBM3", slots=[part("MIG-a"), None, part("MIG-b")])
UNCUT = Card("GPU-44", "NVIDIA H100 80GB HBM3", slots=[None, None])
SPARK = Card("GPU-55", "NVIDIA GB10", None, (12, 1), cuttable=False)


def plays(monkeypatch: pytest.MonkeyPatch, *cards: Card, **more: Any) -> Driver:
    driver = Driver(list(cards), **more)
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    return driver


def test_a_card_is_told_with_its_memory_and_capability(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = plays(monkeypatch, RTX)
    ((seen,), _) = read_seen()
    assert seen.gpu == Gpu(
        product="NVIDIA GeForce RTX 4090", memory_gib=23.99, free_gib=22.99, compute_capability=(8, 9)
    )
    assert seen.slices is None
    assert driver.opened == 0


def test_a_card_that_is_cut_is_told_with_its_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    plays(monkeypatch, CUT)
    ((seen,), _) = read_seen()
    assert seen.slices is not None
    assert [s.uuid for s in seen.slices] == ["MIG-a", "MIG-b"]
    assert [s.gpu.memory_gib for s in seen.slices if s.gpu] == [39.5, 39.5]


def test_where_a_card_is_lost_it_is_said_and_none_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = plays(monkeypatch, RTX, replace(H100, lost=True))
    assert read_seen() == ((), "NVML says: GPU is lost")
    assert driver.opened == 0


def test_without_a_driver_or_its_library_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    plays(monkeypatch, H100, works=False)
    assert read_seen() == ((), "NVML says: Driver Not Loaded")
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert read_seen() == ((), "nvidia-ml-py is not installed")


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        pytest.param(None, ["GPU-11", "GPU-22", "MIG-a"], id="unset: all, and of a cut card the first slice"),
        pytest.param("", [], id="empty shows none"),
        pytest.param("1,0", ["GPU-22", "GPU-11"], id="indices, in their order"),
        pytest.param("2", ["MIG-a"], id="the index of a cut card opens its first slice"),
        pytest.param("GPU-2", ["GPU-22"], id="the start of a UUID"),
        pytest.param("MIG-b, 0", ["MIG-b", "GPU-11"], id="a slice by name"),
        pytest.param("0,9,1", ["GPU-11"], id="the list ends at the first name of nothing"),
        pytest.param("-1", [], id="minus one hides all"),
        pytest.param("3", [], id="a card that is cut into nothing"),
        pytest.param("0,0", ["GPU-11"], id="nothing twice"),
        pytest.param("²,99999999999999999999", [], id="junk"),
    ],
)
def test_cuda_visible_devices_chooses(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: list[str]
) -> None:
    plays(monkeypatch, H100, RTX, CUT, UNCUT)
    assert [seen.uuid for seen in choose_visible(read_seen()[0], visible)] == expected


def test_this_machine_offers_what_is_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    plays(monkeypatch, H100, RTX)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    (node,) = read_inventory().nodes
    assert [gpu.product for gpu in node.gpus] == ["NVIDIA GeForce RTX 4090"]
    assert not node.gpu_only


def test_memory_that_gpu_and_host_share_is_not_promised_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    plays(monkeypatch, SPARK)
    node = build_node("spark", choose_visible(read_seen()[0], None), 119.0, 100.0)
    assert (node.gpus[0].memory_gib, node.gpus[0].free_gib) == (103.0, 84.0)
    assert (node.host_memory_gib, node.host_free_gib) == (16.0, 16.0)


def test_a_full_machine_of_shared_memory_has_nothing_free() -> None:
    seen = (Seen("GPU-55", "NVIDIA GB10", None, (12, 1)),)
    node = build_node("spark", seen, 119.0, 4.0)
    assert (node.gpus[0].free_gib, node.host_free_gib) == (0.0, 4.0)
