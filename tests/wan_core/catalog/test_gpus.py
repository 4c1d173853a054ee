"""The table of GPUs, found by the names that labels and drivers give them."""

from __future__ import annotations

import re

import pytest

from wan_core.catalog.gpu_card import GpuCard
from wan_core.catalog.gpu_sources import CAPABILITY, MEMORY, SHEETS, SOURCES
from wan_core.catalog.gpus import GPUS, find_gpu

CARDS = pytest.mark.parametrize("card", GPUS, ids=[card.name for card in GPUS])

# As labels, NVML and torch have them.
NAMES = [
    ("NVIDIA-H200", "H200"),
    ("NVIDIA H200", "H200"),
    ("NVIDIA-H200-NVL", "H200 NVL"),
    ("NVIDIA-H100-80GB-HBM3", "H100 SXM"),
    ("NVIDIA-H100-PCIe", "H100 PCIe"),
    ("NVIDIA H100 NVL", "H100 NVL"),
    ("NVIDIA H20", "H20 96GB"),
    ("NVIDIA H20-3e", "H20 141GB"),
    ("NVIDIA RTX PRO 5000 Blackwell", "RTX PRO 5000 Blackwell"),
    ("NVIDIA GeForce RTX 5090 Laptop GPU", "RTX 5090 Laptop"),
    ("NVIDIA GH200 480GB", "GH200 96GB"),
    ("NVIDIA-GH200-144G-HBM3e", "GH200 144GB"),
    ("NVIDIA-B200", "B200"),
    ("NVIDIA B300 SXM6 AC", "B300"),
    ("NVIDIA GB200", "GB200"),
    ("NVIDIA GB10", "GB10"),
    ("NVIDIA-A100-SXM4-80GB", "A100 SXM 80GB"),
    ("NVIDIA-A100-80GB-PCIe", "A100 PCIe 80GB"),
    ("NVIDIA-A100-SXM4-40GB", "A100 SXM 40GB"),
    ("A100-PCIE-40GB", "A100 PCIe 40GB"),
    ("NVIDIA-A30", "A30"),
    ("NVIDIA-A40", "A40"),
    ("NVIDIA-A2", "A2"),
    ("NVIDIA-A16", "A16"),
    ("Tesla-V100-SXM2-16GB", "V100 SXM 16GB"),
    ("Tesla-V100-PCIE-32GB", "V100 PCIe 32GB"),
    ("Tesla V100S-PCIE-32GB", "V100S"),
    ("Tesla-P100-PCIE-16GB", "P100 PCIe 16GB"),
    ("NVIDIA-L40", "L40"),
    ("NVIDIA-L40S", "L40S"),
    ("NVIDIA-L40S-SHARED", "L40S"),
    ("NVIDIA-L4", "L4"),
    ("NVIDIA-A10", "A10"),
    ("NVIDIA-A10G", "A10G"),
    ("Tesla T4", "T4"),
    ("Tesla-T4-SHARED", "T4"),
    ("NVIDIA GeForce RTX 2080 Ti", "RTX 2080 Ti"),
    ("NVIDIA GeForce RTX 3080", "RTX 3080 10GB"),
    ("NVIDIA-GeForce-RTX-3090", "RTX 3090"),
    ("NVIDIA-GeForce-RTX-4080", "RTX 4080"),
    ("NVIDIA GeForce RTX 4080 SUPER", "RTX 4080 SUPER"),
    ("NVIDIA-GeForce-RTX-4090", "RTX 4090"),
    ("NVIDIA-GeForce-RTX-4090-Laptop-GPU", "RTX 4090 Laptop"),
    ("NVIDIA-GeForce-RTX-4090-D", "RTX 4090 D"),
    ("NVIDIA GeForce RTX 5090", "RTX 5090"),
    ("NVIDIA RTX A6000", "RTX A6000"),
    ("NVIDIA-RTX-6000-Ada-Generation", "RTX 6000 Ada"),
    ("NVIDIA-RTX-PRO-6000-Blackwell-Workstation-Edition", "RTX PRO 6000 Blackwell"),
    ("NVIDIA-RTX-PRO-6000-Blackwell-Max-Q-Workstation-Edition", "RTX PRO 6000 Blackwell Max-Q"),
    ("NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition", "RTX PRO 6000 Blackwell Server"),
    ("AMD_Instinct_MI300X_OAM", "MI300X"),
    ("AMD Instinct MI210", "MI210"),
    ("AMD Instinct MI250X/MI250", "MI250X"),
    ("Intel(R) Arc(TM) A770 Graphics", "Arc A770"),
    ("Intel(R) Data Center GPU Max 1550", "Max 1550"),
    ("NVIDIA-H100-80GB-HBM3-MIG-3g.40gb", "H100 SXM 3g.40gb"),
    ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", "A100 SXM 80GB 1g.10gb"),
]


@pytest.mark.parametrize(("product", "name"), NAMES)
def test_a_product_name_finds_its_card(product: str, name: str) -> None:
    card = find_gpu(product)
    assert card is not None
    assert card.name == name


@pytest.mark.parametrize(
    "product",
    [
        pytest.param("NVIDIA-GeForce-RTX-4070-Max-Q", id="not the desktop card"),
        pytest.param("NVIDIA-L400", id="not the L40"),
        pytest.param("NVIDIA-L4-MIG-1g.5gb", id="a card that cannot be cut"),
        pytest.param("NVIDIA-H100-80GB-HBM3-MIG-9g.90gb", id="a slice larger than the card"),
        pytest.param("", id="nothing"),
        pytest.param("x" * 10_000, id="long"),
    ],
)
def test_what_is_not_in_the_table_is_not_guessed(product: str) -> None:
    assert find_gpu(product) is None


@pytest.mark.parametrize(("product", "name"), [*NAMES, *((card.name, card.name) for card in GPUS)])
def test_no_product_name_means_two_cards(product: str, name: str) -> None:
    words = [w for w in re.split(r"[\s_-]+", re.sub(r"\(\w+\)", "", product)) if w]
    told = "-".join(w for w in words if not re.fullmatch(r"nvidia|tesla|geforce|shared|gpu", w, re.I))
    assert len([card for card in GPUS if re.fullmatch(card.pattern, told, re.I)]) <= 1


@CARDS
def test_a_cards_own_name_and_that_of_its_maker_find_it(card: GpuCard) -> None:
    assert find_gpu(card.name) is card
    assert find_gpu(f"NVIDIA-{card.name.replace(' ', '-')}") is card


def test_there_are_enough_of_them_and_no_name_stands_twice() -> None:
    assert len(GPUS) >= 100
    assert len({card.name for card in GPUS}) == len(GPUS)


@pytest.mark.parametrize(
    ("product", "gib"),
    [("RTX 4080", 16), ("RTX 3080 10GB", 10), ("RTX 3070", 8), ("RTX 4060", 8), ("RTX 2080 Ti", 11)],
)
def test_the_cards_that_people_have_at_home_are_there(product: str, gib: int) -> None:
    card = find_gpu(product)
    assert card is not None
    assert round(card.memory_gib) == gib
    assert card.tflops["fp16"]
    assert card.bandwidth_gbps


@CARDS
def test_every_figure_has_a_source(card: GpuCard) -> None:
    words = set(card.source.split())
    assert words <= set(SOURCES)
    assert len(words & set(MEMORY)) == 1
    assert len(words & set(SHEETS)) == 1
    assert bool(words & set(CAPABILITY)) == (card.compute_capability is not None)
    assert len(words) == len(card.source.split())


def test_every_source_is_used() -> None:
    used = {key for card in GPUS for key in card.source.split()}
    assert used | {"mig"} == set(SOURCES)


@CARDS
def test_the_box_and_the_driver_agree_on_memory(card: GpuCard) -> None:
    said = re.search(r"(\d+)GB", card.name)
    if said:
        assert card.memory_gib == pytest.approx(int(said[1]), rel=0.015)
    assert 5.9 < card.memory_gib < 300


@CARDS
def test_bf16_is_there_from_ampere_on(card: GpuCard) -> None:
    if card.vendor == "NVIDIA":
        assert ("bf16" in card.cannot) == ((card.compute_capability or (0, 0)) < (8, 0))


@CARDS
def test_what_a_card_cannot_has_no_peak(card: GpuCard) -> None:
    assert not set(card.cannot) & set(card.tflops)


@CARDS
def test_narrower_formats_are_not_slower(card: GpuCard) -> None:
    order = [card.tflops[p] for p in ("fp32", "tf32", "bf16", "fp8", "fp4") if p in card.tflops]
    assert order == sorted(order)
    if "bf16" in card.tflops:
        assert card.tflops["bf16"] == card.tflops["fp16"]


@CARDS
def test_figures_are_those_of_a_gpu(card: GpuCard) -> None:
    assert 100 < (card.bandwidth_gbps or 0) <= 8000
    assert all(4 <= peak <= 15000 for peak in card.tflops.values())
