"""The token bucket: no more than it allows, and everybody's turn comes."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from wan_operator.cluster.bucket import Bucket


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@settings(deadline=None)
@given(st.lists(st.floats(0, 2), max_size=200), st.floats(0.5, 50), st.integers(1, 20))
def test_no_more_is_taken_than_the_burst_and_the_rate_allow(
    gaps: list[float], per_s: float, burst: int
) -> None:
    clock = Clock()
    bucket = Bucket(per_s, burst, clock)
    taken = 0
    for gap in gaps:
        clock.now += gap
        taken += bucket.take() == 0
    assert taken <= burst + per_s * clock.now + 1e-6


@settings(deadline=None)
@given(st.floats(0.5, 50), st.integers(1, 20))
def test_after_the_wait_that_it_names_there_is_one(per_s: float, burst: int) -> None:
    clock = Clock()
    bucket = Bucket(per_s, burst, clock)
    while (wait_s := bucket.take()) == 0:
        pass
    clock.now += wait_s + 1e-9
    assert bucket.take() == 0


@settings(deadline=None)
@given(st.floats(0.5, 50), st.integers(1, 20), st.integers(1, 60))
def test_who_takes_in_any_case_waits_as_long_as_those_before_him_need(
    per_s: float, burst: int, takers: int
) -> None:
    bucket = Bucket(per_s, burst, Clock())
    for before in range(takers):
        assert abs(bucket.owe() - max(0, before + 1 - burst) / per_s) < 1e-6


def test_what_is_owed_is_paid_back_before_anything_can_be_taken() -> None:
    clock = Clock()
    bucket = Bucket(per_s=2.0, burst=1, clock=clock)
    assert [bucket.owe() for _ in range(3)] == [0.0, 0.5, 1.0]
    assert bucket.take() == 1.5
    clock.now += 1.5
    assert bucket.take() == 0


def test_turns_come_in_the_order_of_asking() -> None:
    async def scene() -> list[int]:
        bucket, served = Bucket(per_s=500.0, burst=3), []

        async def take(number: int) -> None:
            await bucket.turn()
            served.append(number)

        await asyncio.gather(*(take(number) for number in range(20)))
        return served

    assert asyncio.run(scene()) == list(range(20))
