from __future__ import annotations

import pytest
from pydantic import ValidationError

from wan_core.plan.rates import DEFAULT_RATES, Rates, seconds_for
from wan_core.plan.span import Span, point, widest

NAMES = ("object_store", "disk", "bus", "host_flops")


@pytest.mark.parametrize("name", NAMES)
def test_what_nobody_set_is_a_range(name: str) -> None:
    assert not getattr(DEFAULT_RATES, name).is_point


@pytest.mark.parametrize(
    ("field", "value", "name", "expected"),
    [
        ("object_store_mb_per_second", 250, "object_store", 250e6),
        ("disk_mb_per_second", 3000, "disk", 3e9),
        ("bus_gb_per_second", 25, "bus", 25e9),
        ("host_cores", 4, "host_flops", 4 * 0.075e12),
    ],
)
def test_what_is_set_is_a_point(field: str, value: float, name: str, expected: float) -> None:
    found = getattr(Rates(**{field: value}), name)
    assert found.is_point
    assert found.low == pytest.approx(expected)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_moves_nothing_is_refused(value: float) -> None:
    with pytest.raises(ValidationError):
        Rates(disk_mb_per_second=value)


def test_the_faster_rate_takes_the_shorter_time() -> None:
    assert seconds_for(100, Span(10, 50)) == Span(2, 10)


def test_the_widest_holds_all() -> None:
    assert widest(Span(2, 3), point(1), Span(2, 5)) == Span(1, 5)
