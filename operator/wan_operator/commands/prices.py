"""`--prices`: what an hour of a GPU costs, on the command line or in a YAML file as in the chart's values."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import typer

from wan_core.api.parse import BYTES_MAX, parse_text
from wan_core.api.words import shown
from wan_core.catalog.gpu_card import GpuCard
from wan_core.catalog.gpu_names import read_gpu_name
from wan_core.catalog.gpus import find_gpu
from wan_core.errors import InvalidInput
from wan_core.plan.criteria import Order
from wan_core.plan.inventory import Inventory
from wan_core.plan.prices import PRICE_MAX, Prices, find_price
from wan_core.plan.product_names import product_key

PricesOption = Annotated[
    str | None,
    typer.Option("--prices", metavar="LIST|FILE", help="Price of a GPU an hour, as H100=2.5,RTX4090=0.4."),
]
OrderOption = Annotated[
    Order | None,
    typer.Option("--order", help="What is preferred among plans of one quality; default: time."),
]
OPTION = "--prices"
NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
FORM = f"{OPTION}: expected GPU=PRICE,... or a YAML file of these"


def read_prices(given: str | None) -> Prices:
    """Prices by product. Raises InvalidInput with every problem."""
    if given is None:
        return {}
    path = Path(given)
    pairs = _read_file(path) if path.suffix in (".yaml", ".yml", ".json") else _read_list(given)
    problems = [f"{OPTION}: {shown(name)}: {why}" for name, why in ((n, _wrong(p)) for n, p in pairs) if why]
    problems += _given_twice([name for name, _ in pairs])
    if problems:
        raise InvalidInput(problems)
    return {name: float(price) for name, price in pairs}


def price_products(prices: Prices, inventory: Inventory) -> Prices:
    """The prices by the products of the inventory, whatever each was called.

    Raises InvalidInput for what is neither there nor in the table of GPUs.
    """
    products = {gpu.product for node in inventory.nodes for gpu in node.gpus}
    by_card = _price_cards(prices, {product_key(product) for product in products})
    found = {product: _price_of(product, prices, by_card) for product in products}
    return {product: price for product, price in found.items() if price is not None}


def _price_cards(prices: Prices, keys: Container[str]) -> dict[GpuCard, float]:
    """The prices of GPUs of the table, but for products that are there by that very name."""
    found: dict[GpuCard, float] = {}
    problems: list[str] = []
    for name, price in prices.items():
        try:
            if product_key(name) not in keys:
                found[read_gpu_name(name, OPTION)] = price
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput(problems)
    return found


def _price_of(product: str, prices: Prices, by_card: Mapping[GpuCard, float]) -> float | None:
    exact = find_price(prices, product)
    card = find_gpu(product)
    return exact if exact is not None or card is None else by_card.get(card)


def _read_list(text: str) -> list[tuple[str, Any]]:
    parts = [part.partition("=") for part in text.split(",") if part.strip()]
    if not parts or any(not sign for _, sign, _ in parts):
        raise InvalidInput(f"{FORM}, got {shown(text)}")
    return [(name.strip(), _number(price)) for name, _, price in parts]


def _read_file(path: Path) -> list[tuple[str, Any]]:
    with path.open("rb") as file:
        data, problems = parse_text(file.read(BYTES_MAX + 1), str(path), "mapping of prices")
    if problems:
        raise InvalidInput(problems)
    if not isinstance(data, dict) or not data:
        got = "an empty one" if data == {} else shown(data)
        raise InvalidInput(f"{path}: expected a mapping of GPUs to prices, got {got}")
    return list(data.items())


def _given_twice(names: Sequence[str]) -> list[str]:
    """A problem for each name that means a GPU which another before it means too."""
    before: dict[str, str] = {}
    problems = []
    for name in names:
        if (other := before.setdefault(product_key(name), name)) is not name:
            same = "is given twice" if name == other else f"is {shown(other)}, which is given too"
            problems.append(f"{OPTION}: {shown(name)} {same}")
    return problems


def _number(text: str) -> float | str:
    return float(text) if NUMBER.fullmatch(text.strip()) else text.strip()


def _wrong(price: object) -> str:
    if isinstance(price, bool) or not isinstance(price, int | float) or not isfinite(price):
        return f"{shown(price)} is no number"
    if price < 0:
        return f"{price:g} is below 0; nearest: 0"
    return "" if price <= PRICE_MAX else f"{price:g} is above the maximum; nearest: {PRICE_MAX}"
