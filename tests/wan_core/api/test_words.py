"""Numbers as people read them."""

from __future__ import annotations

import pytest

from wan_core.api.words import first_of, words_of_bytes, words_of_load


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (1023, "1023 B"), (17 * 1024, "17.0 KiB"), (27 << 30, "27.0 GiB")]
)
def test_bytes_are_told_in_the_unit_that_fits(count: int, words: str) -> None:
    assert words_of_bytes(count) == words


@pytest.mark.parametrize(
    ("count", "told"),
    [
        pytest.param(0, [], id="none"),
        pytest.param(3, ["0", "1", "2"], id="as many as there is room for"),
        pytest.param(4, ["0", "1", "and 2 more warnings"], id="one more"),
        pytest.param(9, ["0", "1", "and 7 more warnings"], id="many"),
    ],
)
def test_of_too_many_texts_it_is_told_how_many_are_not(count: int, told: list[str]) -> None:
    assert first_of([str(number) for number in range(count)], 3, "warnings") == told


@pytest.mark.parametrize(
    ("done", "total", "unit", "rate", "words"),
    [
        pytest.param(3 << 20, 5 << 30, "bytes", 2.5 * 2**20, "3.0 MiB of 5.0 GiB, 2.5 MiB/s", id="bytes"),
        pytest.param(3 << 20, 5 << 30, "bytes", None, "3.0 MiB of 5.0 GiB", id="at first"),
        pytest.param(3, 12, "items", 7.0, "3 of 12", id="items"),
        pytest.param(0, 0, "bytes", None, "", id="nobody knows how many"),
    ],
)
def test_an_amount_is_told_as_far_as_it_is_known(
    done: int, total: int, unit: str, rate: float | None, words: str
) -> None:
    assert words_of_load(done, total, unit, rate) == words
