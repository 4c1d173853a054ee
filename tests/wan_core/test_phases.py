from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_core.errors import Interrupted
from wan_core.phases import BYTES, ITEMS, ORDER, UNITS, WEIGHTS, Gauges, LoadProgress, Meter, Phase, stopping

GB = 10**9


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Watched:
    """A meter, its clock and what it showed."""

    clock: Clock = field(default_factory=Clock)
    shown: list[LoadProgress] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.meter = Meter(self.shown.append, clock=self.clock)

    def tell(self, phase: Phase, done: int, total: int, after_s: float = 0.0) -> LoadProgress:
        self.clock.now += after_s
        self.meter.tell(phase, done, total)
        return self.meter.read()


def end_of(watched: Watched) -> float:
    return watched.tell(Phase.FINALIZATION, 1, 1).percent


def test_the_weights_are_shares_of_one_load() -> None:
    assert tuple(WEIGHTS) == ORDER
    assert sum(WEIGHTS.values()) == pytest.approx(1)
    assert min(WEIGHTS.values()) > 0


def test_bytes_are_counted_where_bytes_move() -> None:
    assert {phase for phase, unit in UNITS.items() if unit == BYTES} == {Phase.DOWNLOAD, Phase.LOADING}
    assert set(UNITS.values()) == {BYTES, ITEMS}


def test_a_cold_load_advances_by_the_weights() -> None:
    watched = Watched()
    for phase in (Phase.INITIALIZATION, Phase.VALIDATION, Phase.CACHE_CHECK):
        watched.tell(phase, 0, 1)
        watched.tell(phase, 1, 1)
    before = watched.tell(Phase.DOWNLOAD, 0, 100 * GB).percent
    half = watched.tell(Phase.DOWNLOAD, 50 * GB, 100 * GB).percent
    assert half - before == pytest.approx(100 * WEIGHTS[Phase.DOWNLOAD] / 2)


def test_what_is_cached_hands_its_weight_on() -> None:
    watched = Watched()
    watched.tell(Phase.INITIALIZATION, 0, 0)
    hit = watched.tell(Phase.DOWNLOAD, GB, GB)
    assert hit.percent == pytest.approx(100 * WEIGHTS[Phase.INITIALIZATION])
    watched.tell(Phase.LOADING, 0, GB)
    half = watched.tell(Phase.LOADING, GB // 2, GB).percent
    left = WEIGHTS[Phase.LOADING] + WEIGHTS[Phase.OPTIMIZATION] + WEIGHTS[Phase.FINALIZATION]
    assert (half - hit.percent) / (100 - hit.percent) == pytest.approx(WEIGHTS[Phase.LOADING] / 2 / left)


def test_what_is_half_cached_hands_on_the_half() -> None:
    cold, warm = Watched(), Watched()
    cold.tell(Phase.DOWNLOAD, 0, 100)
    warm.tell(Phase.DOWNLOAD, 50, 100)
    assert warm.meter.read().percent == cold.meter.read().percent == 0
    cold_step = cold.tell(Phase.DOWNLOAD, 50, 100).percent
    warm_step = warm.tell(Phase.DOWNLOAD, 100, 100).percent
    assert cold_step < warm_step < 2 * cold_step


def test_phases_that_overlap_both_count_and_the_earlier_one_is_told_of() -> None:
    watched = Watched()
    watched.tell(Phase.DOWNLOAD, 0, 100)
    watched.tell(Phase.LOADING, 0, 100)
    before = watched.tell(Phase.DOWNLOAD, 50, 100).percent
    both = watched.tell(Phase.LOADING, 40, 100)
    assert both.percent > before
    assert (both.phase, both.done) == (Phase.DOWNLOAD, 50)
    later = watched.tell(Phase.DOWNLOAD, 100, 100)
    assert (later.phase, later.done) == (Phase.LOADING, 40)


def test_the_last_phase_ends_what_was_left_open() -> None:
    watched = Watched()
    watched.tell(Phase.DOWNLOAD, 99, 100)
    watched.tell(Phase.OPTIMIZATION, 0, 0)
    assert end_of(watched) == 100


tells = st.lists(
    st.tuples(st.sampled_from(ORDER), st.integers(-2, 60), st.integers(0, 50), st.floats(0, 3)), max_size=60
)


@given(tells)
def test_the_percentage_never_goes_back_and_ends_at_100(told: list[tuple[Phase, int, int, float]]) -> None:
    watched = Watched()
    percents = [watched.tell(*tell).percent for tell in told]
    percents.append(end_of(watched))
    assert percents == sorted(percents)
    assert all(0 <= percent <= 100 for percent in percents)
    assert percents[-1] == 100
    assert [at.percent for at in watched.shown] == sorted(at.percent for at in watched.shown)


@given(tells)
def test_only_the_last_phase_makes_it_100(told: list[tuple[Phase, int, int, float]]) -> None:
    watched = Watched()
    for phase, *rest in told:
        if phase is not Phase.FINALIZATION:
            assert watched.tell(phase, *rest).percent < 100


def test_rate_and_time_left_are_known_once_time_has_passed() -> None:
    watched = Watched()
    start = watched.tell(Phase.DOWNLOAD, 0, 10 * GB)
    assert (start.rate, start.eta_s) == (None, None)
    later = watched.tell(Phase.DOWNLOAD, 2 * GB, 10 * GB, after_s=2.0)
    assert later.rate == pytest.approx(GB)
    assert later.eta_s == pytest.approx(8.0)


def test_the_time_before_anything_is_counted_is_no_rate() -> None:
    watched = Watched()
    watched.tell(Phase.LOADING, 0, 0)  # torch is imported
    watched.tell(Phase.LOADING, 0, 10 * GB, after_s=10.0)
    assert watched.tell(Phase.LOADING, GB, 10 * GB, after_s=1.0).rate == pytest.approx(GB)


def test_what_was_there_already_is_no_rate() -> None:
    watched = Watched()
    watched.tell(Phase.DOWNLOAD, 8 * GB, 10 * GB)
    assert watched.tell(Phase.DOWNLOAD, 9 * GB, 10 * GB, after_s=1.0).rate == pytest.approx(GB)


def test_the_rate_follows_a_change_of_pace_smoothly() -> None:
    watched = Watched()
    watched.tell(Phase.DOWNLOAD, 0, 10_000)
    rates = [watched.tell(Phase.DOWNLOAD, 100 * (n + 1), 10_000, after_s=1.0).rate for n in range(5)]
    slower = [watched.tell(Phase.DOWNLOAD, 500 + 10 * n, 10_000, after_s=1.0).rate for n in range(1, 30)]
    assert rates == pytest.approx([100.0] * 5)
    assert 70 < (slower[0] or 0) < 100
    assert slower == sorted(slower, reverse=True)
    assert slower[-1] == pytest.approx(10, rel=0.1)


def test_a_stall_is_seen_in_the_rate_though_nothing_is_told() -> None:
    watched = Watched()
    watched.tell(Phase.DOWNLOAD, 0, 100)
    moving = watched.tell(Phase.DOWNLOAD, 50, 100, after_s=1.0)
    watched.clock.now += 60
    assert (watched.meter.read().rate or 0) < (moving.rate or 0) / 1000


def test_it_is_shown_when_a_phase_begins_and_ends_and_twice_a_second_between() -> None:
    watched = Watched()
    for done in range(101):
        watched.tell(Phase.DOWNLOAD, done, 100, after_s=0.125)
    watched.tell(Phase.DOWNLOAD, 100, 100)
    assert [at.done for at in watched.shown] == list(range(0, 101, 4))


def test_the_seconds_are_those_that_the_progress_told_of() -> None:
    watched = Watched()
    watched.tell(Phase.INITIALIZATION, 0, 0)
    watched.tell(Phase.DOWNLOAD, 0, 100, after_s=2.0)
    watched.tell(Phase.DOWNLOAD, 50, 100, after_s=1.0)
    watched.tell(Phase.LOADING, 0, 100, after_s=1.0)  # begins before the download ends
    watched.tell(Phase.DOWNLOAD, 100, 100, after_s=3.0)
    watched.tell(Phase.FINALIZATION, 0, 1, after_s=4.0)
    watched.tell(Phase.FINALIZATION, 1, 1, after_s=0.5)
    watched.clock.now += 100
    watched.meter.read()
    assert watched.meter.seconds == {
        Phase.INITIALIZATION: 2.0,
        Phase.DOWNLOAD: 5.0,
        Phase.LOADING: 4.0,
        Phase.FINALIZATION: 0.5,
    }


def test_memory_is_read_only_when_something_is_shown_and_every_two_seconds() -> None:
    readings: list[int] = []
    clock = Clock()

    def rss() -> int:
        readings.append(1)
        return 7 * GB

    shown: list[LoadProgress] = []
    meter = Meter(shown.append, gauges=Gauges(rss=rss, device=lambda: 3 * GB), clock=clock)
    for done in range(1000):
        meter.tell(Phase.LOADING, done, 1000)
    assert len(readings) == len(shown) == 1
    assert (shown[0].rss_bytes, shown[0].cgroup_bytes, shown[0].device_bytes) == (7 * GB, None, 3 * GB)
    for clock.now in (1.0, 1.5, 2.0, 2.5):
        meter.tell(Phase.LOADING, 999, 1000)
    assert (len(shown), len(readings)) == (5, 2)


def test_whoever_is_shown_may_read() -> None:
    seen: list[float] = []
    meter = Meter(lambda at: seen.append(meter.read().percent))
    meter.tell(Phase.DOWNLOAD, 1, 1)
    assert len(seen) == 1


def test_threads_may_tell_at_once() -> None:
    shown: list[float] = []
    meter = Meter(lambda at: shown.append(at.percent))

    def work() -> None:
        for done in range(500):
            meter.tell(Phase.DOWNLOAD, done, 499)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shown == sorted(shown)
    assert meter.read().done == 499


def test_a_load_that_is_told_to_stop_says_where() -> None:
    cancel, watched = threading.Event(), Watched()
    tell = stopping(watched.meter.tell, cancel)
    tell(Phase.DOWNLOAD, 1, 4)
    cancel.set()
    with pytest.raises(Interrupted, match="during download, at 2 of 4 bytes"):
        tell(Phase.DOWNLOAD, 2, 4)
    assert watched.meter.read().done == 1
