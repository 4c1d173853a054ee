"""The token bucket, and keys that are told as it allows."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from wan_operator.cluster.coalesce import Bucket, Pace


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


def test_every_key_is_told_once_although_the_bucket_is_empty() -> None:
    async def scene() -> list[int]:
        told: list[int] = []
        done = asyncio.Event()

        def act(key: int) -> None:
            told.append(key)
            if len(told) == 50:
                done.set()

        pace = Pace(act, Bucket(per_s=2000.0, burst=5))
        for _round in range(3):
            for key in range(50):
                if _round == 0 or key >= 25:
                    pace.ask(key)
        assert 5 <= len(told) < 50
        await asyncio.wait_for(done.wait(), 20)
        return told

    assert asyncio.run(scene()) == list(range(50))


def test_a_key_that_was_told_may_be_told_again() -> None:
    async def scene() -> list[str]:
        told: list[str] = []
        pace = Pace(told.append, Bucket(per_s=1.0, burst=5))
        pace.ask("a")
        pace.ask("a")
        return told

    assert asyncio.run(scene()) == ["a", "a"]
