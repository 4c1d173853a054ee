"""Durations and back-off."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_core.api.durations import read_duration
from wan_operator.deadlines import FIRST_BACK_OFF, LONGEST_BACK_OFF, back_off


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h", 7200), ("90m", 5400), ("45s", 45), ("1h30m15s", 5415), ("0s", 0), (None, None), ("", None)],
)
def test_a_duration_is_read(text: str | None, seconds: float | None) -> None:
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert read_duration(text) == expected


@given(failures=st.integers(1, 10**6))
def test_the_back_off_grows_and_is_bounded(failures: int) -> None:
    assert FIRST_BACK_OFF <= back_off(failures) <= back_off(failures + 1) <= LONGEST_BACK_OFF


def test_the_back_off_doubles() -> None:
    assert [back_off(n).total_seconds() for n in (1, 2, 3, 7)] == [5, 10, 20, 300]
