"""The table of GPUs, found by the names that labels and NVML give them."""

from __future__ import annotations

import re

import pytest

from wan_core.catalog.gpus import GPUS, SOURCES, find_gpu

CARDS = pytest.mark.parametrize("card", GPUS, ids=[card.name for card in GPUS])


@pytest.mark.parametrize(
    ("product", "name"),
    [
        ("NVIDIA-H200", "H200"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA-H200-NVL", "H200 NVL"),
        ("NVIDIA-H100-80GB-HBM3", "H100 SXM"),
        ("NVIDIA-H100-PCIe", "H100 PCIe"),
        ("NVIDIA H100 NVL", "H100 NVL"),
        ("NVIDIA-B200", "B200"),
        ("NVIDIA-A100-SXM4-80GB", "A100 SXM 80GB"),
        ("NVIDIA-A100-80GB-PCIe", "A100 PCIe 80GB"),
        ("NVIDIA-A100-SXM4-40GB", "A100 40GB"),
        ("A100-PCIE-40GB", "A100 40GB"),
        ("Tesla-V100-SXM2-16GB", "V100 16GB"),
        ("Tesla-V100-PCIE-32GB", "V100 32GB"),
        ("NVIDIA-L40S", "L40S"),
        ("NVIDIA-L40S-SHARED", "L40S"),
        ("NVIDIA-L4", "L4"),
        ("NVIDIA-A10", "A10"),
        ("NVIDIA-A10G", "A10G"),
        ("Tesla T4", "T4"),
        ("NVIDIA-GeForce-RTX-3090", "RTX 3090"),
        ("NVIDIA-GeForce-RTX-4090", "RTX 4090"),
        ("NVIDIA GeForce RTX 5090", "RTX 5090"),
        ("NVIDIA-RTX-6000-Ada-Generation", "RTX 6000 Ada"),
        ("NVIDIA-RTX-PRO-6000-Blackwell-Workstation-Edition", "RTX PRO 6000 Blackwell"),
        ("NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition", "RTX PRO 6000 Blackwell Server"),
    ],
)
def test_a_product_name_finds_its_card(product, name):
    card = find_gpu(product)
    assert card is not None
    assert card.name == name


@pytest.mark.parametrize(
    "product",
    [
        pytest.param("NVIDIA-A100-SXM4-80GB-MIG-1g.10gb", id="a slice is not the card"),
        pytest.param("NVIDIA-GeForce-RTX-4070-Max-Q", id="not the desktop card"),
        pytest.param("", id="nothing"),
    ],
)
def test_what_is_not_in_the_table_is_not_guessed(product):
    assert find_gpu(product) is None


@CARDS
def test_every_card_names_its_sources(card):
    assert set(card.source.split()) <= set(SOURCES)


def test_every_source_is_used():
    assert {key for card in GPUS for key in card.source.split()} == set(SOURCES)


@CARDS
def test_the_box_and_the_driver_agree_on_memory(card):
    said = re.search(r"(\d+)GB", card.name)
    if said:
        assert card.memory_gib == pytest.approx(int(said[1]), rel=0.01)


@CARDS
def test_bf16_is_there_from_ampere_on(card):
    assert (card.bf16_tflops is not None) == ("bf16" not in card.cannot)
