"""The rules of pace: tables of measurements and what follows from them; no clock runs here."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_core.errors import InvalidInput
from wan_runner.store.cores import Reading
from wan_runner.store.pace import (
    MAX_BACK_OFF_S,
    MAX_READ_BYTES,
    MIN_READ_BYTES,
    Bucket,
    Pace,
    Rate,
    Search,
    choose_pause,
    choose_read,
    choose_workers,
    count_enough,
    read_pace,
)

STEPS = (4, 16, 64)


@pytest.mark.parametrize(
    ("rates", "workers", "is_settled"),
    [
        pytest.param([], 4, False, id="nothing is known"),
        pytest.param([360], 16, False, id="the first step is always tried"),
        pytest.param([360, 1440], 64, False, id="four times the workers, four times the rate"),
        pytest.param([100, 105], 64, False, id="a gain of 5 percent is worth the next step"),
        pytest.param([100, 104], 4, True, id="a gain of 4 percent is taken back"),
        pytest.param([100, 60], 4, True, id="more was less"),
        pytest.param([360, 1440, 1450], 16, True, id="the wire is full at 16"),
        pytest.param([360, 900, 910], 10, True, id="the wire is full between 4 and 16"),
        pytest.param([360, 1440, 4500], 50, True, id="and between 16 and 64"),
        pytest.param([360, 1440, 5760], 64, True, id="there are no more steps"),
    ],
)
def test_more_workers_as_long_as_they_gain(rates: list[float], workers: int, is_settled: bool) -> None:
    measured = [Rate(step, rate) for step, rate in zip(STEPS, rates, strict=False)]
    assert choose_workers(measured, STEPS) == (workers, is_settled)


@pytest.mark.parametrize(
    ("per_connection", "wire", "settled"),
    [
        pytest.param(90e6, 12.5e9, 64, id="S3 over 100 Gb/s"),
        pytest.param(90e6, 1.2e9, 14, id="S3 over 10 Gb/s"),
        pytest.param(90e6, 0.3e9, 4, id="a slow wire"),
        pytest.param(1e6, 12.5e9, 64, id="a slow store"),
    ],
)
def test_the_number_of_workers_is_found_within_three_seconds(
    per_connection: float, wire: float, settled: int
) -> None:
    pace, received, now_s = Pace(), 0.0, 0.0
    search = Search(pace, idle_cores)
    while pace.settled is None:
        search.look(now_s, int(received), 0, can_tell=True)
        received += min(wire, per_connection * search.workers) * 0.1
        now_s += 0.1
        assert now_s <= 3.0
    assert (search.workers, pace.settled) == (settled, settled)
    assert Search(pace, idle_cores).workers == settled  # the next download starts there


def idle_cores() -> Reading:
    """Of a machine that has nothing else to do."""
    return Reading(0.0, ())


def watch(search: Search, begin_s: float, end_s: float, rate: Callable[[int], float]) -> set[int]:
    """Looks ten times a second while bytes come at `rate(workers)`; returns the numbers of workers used."""
    received, seen = 1.0, set()
    for tick in range(round(begin_s * 10), round(end_s * 10)):
        search.look(tick / 10, int(received), 0, can_tell=True)
        received += rate(search.workers) / 10
        seen.add(search.workers)
    return seen


def test_one_bad_moment_does_not_take_a_step_back() -> None:
    search = Search(Pace(steps=(4, 16)), idle_cores)
    hiccup = iter([360.0] * 7 + [1.0] * 5)
    watch(search, 0, 5, lambda workers: next(hiccup, 90.0 * workers))
    assert search.workers == 16


def test_a_step_that_gained_nothing_is_tried_again_later() -> None:
    pace = Pace(steps=(4, 16))
    search = Search(pace, idle_cores)
    assert watch(search, 0, 25, lambda workers: 300.0) == {4, 16}
    assert pace.settled == 4
    watch(search, 25, 40, lambda workers: 90.0 * workers)  # the wire has become faster
    assert pace.settled == 16


def test_what_is_measured_while_requests_fail_says_nothing() -> None:
    pace = Pace()
    search = Search(pace, idle_cores)
    for tick in range(100):
        search.look(tick / 10, tick * 1000, retries=tick, can_tell=True)
    assert search.workers == 4


def test_a_tail_says_nothing_about_the_workers() -> None:
    search = Search(Pace(), idle_cores)
    for tick in range(100):
        search.look(tick / 10, tick * 1000, 0, can_tell=False)
    assert search.workers == 4


@pytest.mark.parametrize(
    ("rates", "workers"),
    [
        pytest.param([1400], 4, id="at the first step"),
        pytest.param([360, 990], 11, id="at the second, of which as many remain as its rate needs"),
        pytest.param([360, 370], 4, id="where the second gained nothing"),
    ],
)
def test_no_step_is_tried_while_cores_are_the_limit(rates: list[float], workers: int) -> None:
    measured = [Rate(step, rate) for step, rate in zip(STEPS, rates, strict=False)]
    assert choose_workers(measured, STEPS, scarce=True) == (workers, True)


@given(st.lists(st.floats(1, 1e12), min_size=1, max_size=3))
def test_what_is_enough_is_at_least_one_and_at_most_what_was_measured(rates: list[float]) -> None:
    measured = [Rate(step, rate) for step, rate in zip(STEPS, rates, strict=False)]
    assert 1 <= count_enough(measured) <= measured[-1].workers


def test_cores_that_are_busy_hold_the_search_back_until_they_are_free() -> None:
    pace, now = Pace(steps=(4, 16)), iter(range(10_000))
    busy = Search(pace, lambda: Reading(float(next(now)), (0.0,)))
    watch(busy, 0, 10, lambda workers: 90.0 * workers)
    assert (busy.workers, pace.settled) == (4, 4)
    later = Search(pace, idle_cores)
    watch(later, 0, 40, lambda workers: 90.0 * workers)
    assert later.workers == 16


def test_one_number_of_workers_is_not_searched_for() -> None:
    search = Search(Pace(steps=(7,)), idle_cores)
    for tick in range(100):
        search.look(tick / 10, tick * 1000, 0, can_tell=True)
    assert search.workers == 7


@given(st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, 10**6)), min_size=1, max_size=100))
def test_a_bucket_never_lets_more_through_than_its_rate(takes: list[tuple[float, int]]) -> None:
    rate, now_s, taken = 1e6, 0.0, 0
    bucket = Bucket(rate)
    for pause_s, count in takes:
        now_s += pause_s
        now_s += bucket.take(count, now_s)  # whoever takes waits until it may
        taken += count
        assert taken <= rate * (now_s + 0.25) + 1


@pytest.mark.parametrize(
    ("cap", "workers", "gained", "is_stalled"),
    [
        (None, 4, 319_999, True),
        (None, 4, 320_000, False),
        (400_000, 4, 249_999, True),  # a quarter of each one's share
        (400_000, 4, 250_000, False),
        (1e9, 4, 319_999, True),
    ],
)
def test_a_connection_below_the_floor_is_stalled(
    cap: float | None, workers: int, gained: int, is_stalled: bool
) -> None:
    assert Pace(max_bytes_per_s=cap).is_stalled(gained, 10.0, workers) == is_stalled


@given(st.integers(1, 10**6), st.none() | st.floats(0, 1e6))
def test_a_pause_is_bounded_and_at_least_what_the_server_asks_for(
    failures: int, retry_after_s: float | None
) -> None:
    pause_s = choose_pause(failures, retry_after_s)
    assert min(retry_after_s or 0, 60.0) <= pause_s <= min(retry_after_s or 0, 60.0) + MAX_BACK_OFF_S


@given(st.integers(0, 2**20), st.floats(0, 100))
def test_a_read_is_neither_tiny_nor_huge(count: int, seconds: float) -> None:
    assert MIN_READ_BYTES <= choose_read(count, seconds) <= MAX_READ_BYTES


def test_all_buffers_together_are_small() -> None:
    assert sum(Pace().buffer_bytes(worker) for worker in range(64)) <= 40 * 2**20


def test_without_settings_there_is_no_cap() -> None:
    pace = read_pace({})
    assert (pace.max_bytes_per_s, pace.bucket, pace.steps, pace.settled) == (None, None, STEPS, None)


def test_every_setting_is_read() -> None:
    pace = read_pace(
        {
            "WAN_FETCH_MAX_MBPS": "250",
            "WAN_FETCH_WORKERS": "8, 32",
            "WAN_FETCH_STALL_KBPS": "100",
            "WAN_FETCH_PATIENCE_S": "60",
        }
    )
    assert pace.max_bytes_per_s == 250e6
    assert pace.steps == (8, 32)
    assert pace.stall_bytes_per_s == 100e3
    assert pace.patience_s == 60


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WAN_FETCH_MAX_MBPS", "fast"),
        ("WAN_FETCH_MAX_MBPS", "0"),
        ("WAN_FETCH_MAX_MBPS", "-1"),
        ("WAN_FETCH_MAX_MBPS", "nan"),
        ("WAN_FETCH_MAX_MBPS", "inf"),
        ("WAN_FETCH_STALL_KBPS", "x"),
        ("WAN_FETCH_PATIENCE_S", "1h"),
        ("WAN_FETCH_WORKERS", "many"),
        ("WAN_FETCH_WORKERS", "0"),
        ("WAN_FETCH_WORKERS", "16,4"),
        ("WAN_FETCH_WORKERS", "4,4"),
        ("WAN_FETCH_WORKERS", "4,,8"),
        ("WAN_FETCH_WORKERS", "65"),
        ("WAN_FETCH_WORKERS", ","),
    ],
)
def test_nonsense_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        read_pace({name: value})


def test_a_setting_that_does_not_exist_is_named_with_the_nearest() -> None:
    with pytest.raises(InvalidInput, match=r"WAN_FETCH_WORKER: .*nearest: WAN_FETCH_WORKERS"):
        read_pace({"WAN_FETCH_WORKER": "4"})
