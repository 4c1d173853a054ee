"""The cache's limits, as the environment states them."""

from __future__ import annotations

import pytest

from wan_core.errors import InvalidInput
from wan_runner.store.limits import GIB, CacheLimits, read_limits


def test_without_settings_eviction_begins_before_the_kubelet_acts() -> None:
    assert read_limits({}) == CacheLimits(0.8, 0.7, None, 24 * 3600, 8 * GIB)
    assert CacheLimits().high < 0.85  # where the kubelet deletes images, by default


@pytest.mark.parametrize(
    ("text", "count"),
    [
        pytest.param("1000", 1000, id="plain"),
        pytest.param("500Gi", 500 * GIB, id="binary"),
        pytest.param("1.5k", 1500, id="decimal"),
        pytest.param(" 2T ", 2 * 10**12, id="spaces"),
    ],
)
def test_bytes_are_written_as_kubernetes_writes_them(text: str, count: int) -> None:
    assert read_limits({"WAN_CACHE_MAX_BYTES": text}).max_bytes == count


def test_a_high_mark_below_the_usual_low_one_takes_it_along() -> None:
    limits = read_limits({"WAN_CACHE_HIGH_PERCENT": "50"})
    assert (limits.high, limits.low) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        pytest.param("WAN_CACHE_HIGH_PERCENT", "101", "above 0, at most 100", id="above the disk"),
        pytest.param("WAN_CACHE_HIGH_PERCENT", "0", "above 0", id="nothing"),
        pytest.param("WAN_CACHE_HIGH_PERCENT", "nan", "'nan' is not a number", id="no number"),
        pytest.param("WAN_CACHE_LOW_PERCENT", "90", "90 is above WAN_CACHE_HIGH_PERCENT, 80", id="crossed"),
        pytest.param("WAN_CACHE_MAX_BYTES", "500GB", "'500GB' is not a number of bytes", id="no such unit"),
        pytest.param("WAN_CACHE_MAX_BYTES", "9" * 400 + "Ti", "is not a number of bytes", id="endless"),
        pytest.param("WAN_CACHE_MAX_BYTES", "-1", "'-1' is not", id="negative"),
        pytest.param("WAN_CACHE_SCRATCH_BYTES", "0", "'0' is not", id="no bytes at all"),
        pytest.param("WAN_CACHE_PARTIAL_HOURS", "day", "'day' is not a number", id="a word"),
        pytest.param("WAN_CACHE_MAX_BYTE", "1", "nearest: WAN_CACHE_MAX_BYTES", id="misspelt"),
        pytest.param("WAN_PREPARED_MAX_BYTES", "much", "'much' is not a number", id="of derived values"),
        pytest.param("WAN_PREPARED_BYTES", "1", "nearest: WAN_PREPARED_MAX_BYTES", id="misspelt, of those"),
    ],
)
def test_nonsense_is_refused_by_name(name: str, text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_limits({name: text})
    assert caught.value.message.startswith(f"{name}: ")
    assert said in caught.value.message


@pytest.mark.parametrize("low", ["90", "70"])
def test_what_is_no_percentage_is_not_compared_with_another(low: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_limits({"WAN_CACHE_HIGH_PERCENT": "200", "WAN_CACHE_LOW_PERCENT": low})
    assert caught.value.problems == ("WAN_CACHE_HIGH_PERCENT: '200' is not a number above 0, at most 100",)


def test_every_wrong_setting_is_named_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        read_limits({"WAN_CACHE_HIGH_PERCENT": "x", "WAN_CACHE_MAX_BYTES": "y"})
    assert len(caught.value.problems) == 2
