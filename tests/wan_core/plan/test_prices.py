from __future__ import annotations

import pytest

from wan_core.catalog.gpu_card import GpuCard
from wan_core.catalog.gpus import GPUS
from wan_core.plan.prices import NO_PRICES, cost, find_price
from wan_core.plan.product_names import product_key
from wan_core.plan.span import Span


@pytest.mark.parametrize("name", ["NVIDIA-L4", "NVIDIA L4", "nvidia-l4", "L4", "NVIDIA-L4-SHARED"], ids=str)
def test_one_product_has_one_price_however_it_is_written(name: str) -> None:
    assert find_price({"NVIDIA-L4": 0.8}, name) == 0.8
    assert find_price({name: 0.8}, "NVIDIA-L4") == 0.8


@pytest.mark.parametrize("name", ["NVIDIA-L40S", "NVIDIA-L40", "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"])
def test_another_product_has_another_price(name: str) -> None:
    assert find_price({"NVIDIA-L4": 0.8, "NVIDIA-A100-SXM4-40GB": 2}, name) is None
    assert find_price(NO_PRICES, name) is None


@pytest.mark.parametrize(
    ("name", "key"),
    [("NVIDIA H100 80GB HBM3-SHARED", "h100 sxm"), ("NVIDIA Whatever 9-SHARED", "whatever-9")],
    ids=["known", "unknown"],
)
def test_a_key_is_its_own_key(name: str, key: str) -> None:
    assert product_key(name) == key
    assert product_key(key) == key


@pytest.mark.parametrize("card", GPUS, ids=lambda card: card.name)
def test_the_key_of_a_card_is_that_of_its_name_alone(card: GpuCard) -> None:
    assert [c.name for c in GPUS if product_key(c.name) == product_key(card.name)] == [card.name]


def test_half_an_hour_costs_half_of_an_hour() -> None:
    assert cost(Span(1800.0, 3600.0), 4.0) == Span(2.0, 4.0)


def test_without_a_price_there_is_no_cost() -> None:
    assert cost(Span(1.0, 2.0), None) is None


def test_what_is_free_costs_nothing() -> None:
    assert cost(Span(1.0, 2.0), 0.0) == Span(0.0, 0.0)
