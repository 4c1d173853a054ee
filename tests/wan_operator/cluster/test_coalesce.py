"""Keys that are told as a bucket allows."""

from __future__ import annotations

import asyncio

from wan_operator.cluster.bucket import Bucket
from wan_operator.cluster.coalesce import Pace


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
        await asyncio.wait_for(done.wait(), 60)
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
