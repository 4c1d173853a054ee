"""Quantities as Kubernetes writes them."""

from __future__ import annotations

import pytest

from wan_operator.cluster.quantity import LARGEST, read_quantity


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", 0),
        (8, 8),
        ("1.5", 2),
        (".5", 1),
        ("512Mi", 512 * 2**20),
        ("1.5Gi", 3 * 2**29),
        ("65536Ki", 2**26),
        ("1k", 1000),
        ("2M", 2_000_000),
        ("1E", 10**18),
        ("1e3", 1000),
        ("1E3", 1000),
        ("250m", 1),
        ("1u", 1),
        ("-1Gi", -(2**30)),
        ("64Ei", LARGEST),
        ("1e400", LARGEST),
    ],
)
def test_a_quantity_is_read_and_rounded_up(text: object, amount: int) -> None:
    assert read_quantity(text) == amount


@pytest.mark.parametrize(("text", "millicores"), [("2", 2000), ("250m", 250), ("0.5", 500), ("1e1", 10_000)])
def test_cpus_are_read_as_millicores(text: str, millicores: int) -> None:
    assert read_quantity(text, 1000) == millicores


@pytest.mark.parametrize(
    "text", [None, "", "Mi", "1 Gi", "1ki", "NaN", "Infinity", "1e", "1e9999", "٣", "1,5", {}]
)
def test_what_is_no_quantity_is_none(text: object) -> None:
    assert read_quantity(text) is None
