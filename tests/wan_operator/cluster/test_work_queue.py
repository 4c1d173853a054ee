"""No key is lost, none is worked on twice at once, and each has its time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wan_operator.cluster.work_queue import LONGEST_BACK_OFF_S, WorkQueue, back_off_s

Do = Callable[[str], Awaitable[bool]]


async def finish(
    queue: WorkQueue[str], do: Do, workers: int = 4, feeding: asyncio.Future[None] | None = None
) -> None:
    """Work until nothing is left to do now, and nothing is fed any more."""
    busy = 0

    async def counted(key: str) -> bool:
        nonlocal busy
        busy += 1
        try:
            return await do(key)
        finally:
            busy -= 1

    async def watch() -> None:
        if feeding is not None:
            await feeding
        async with asyncio.timeout(60):
            while queue.depth or busy:
                await asyncio.sleep(0.001)
        await queue.stop(1)

    async with asyncio.TaskGroup() as group:
        group.create_task(queue.work(counted, workers))
        group.create_task(watch())


def seen_after(*adds: tuple[str, bool], workers: int = 1) -> list[str]:
    """The order in which keys that are all added beforehand are worked on."""
    seen: list[str] = []

    async def do(key: str) -> bool:
        seen.append(key)
        return True

    async def main() -> None:
        queue = WorkQueue[str]()
        for key, urgent in adds:
            queue.add(key, urgent=urgent)
        await finish(queue, do, workers)

    asyncio.run(main())
    return seen


def test_a_key_that_waits_already_is_one_entry() -> None:
    assert seen_after(("a", False), ("b", False), ("a", False)) == ["a", "b"]


def test_urgent_keys_go_first() -> None:
    assert seen_after(("a", False), ("b", True), ("c", True)) == ["b", "c", "a"]


def test_a_waiting_key_may_become_urgent_and_is_still_one_entry() -> None:
    assert seen_after(("a", False), ("b", False), ("b", True)) == ["b", "a"]


def test_ordinary_keys_do_not_starve() -> None:
    order = seen_after(("plain", False), *((f"urgent-{i}", True) for i in range(50)))

    assert order.index("plain") < 10


def test_a_key_added_while_it_is_worked_on_is_worked_on_again() -> None:
    count = 0

    async def main() -> None:
        queue = WorkQueue[str]()

        async def do(key: str) -> bool:
            nonlocal count
            count += 1
            if count == 1:
                queue.add(key)
                queue.add(key)
            return True

        queue.add("a")
        await finish(queue, do)

    asyncio.run(main())
    assert count == 2


def test_a_failed_key_comes_back() -> None:
    tries: list[str] = []

    async def main() -> None:
        queue, done = WorkQueue[str](), asyncio.Event()

        async def do(key: str) -> bool:
            tries.append(key)
            if len(tries) == 3:
                done.set()
            return len(tries) == 3

        queue.add("a")
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(queue.work(do, 2))
            await done.wait()
            await queue.stop(1)

    asyncio.run(main())
    assert len(tries) == 3


def test_of_two_later_adds_the_earlier_counts() -> None:
    async def main() -> None:
        queue, seen = WorkQueue[str](), asyncio.Event()

        async def do(key: str) -> bool:
            seen.set()
            return True

        queue.add_after("a", 3600)
        queue.add_after("a", 0.01)
        queue.add_after("a", 7200)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(queue.work(do, 1))
            await seen.wait()
            await queue.stop(1)

    asyncio.run(main())


def test_a_forgotten_key_has_no_later_add() -> None:
    async def main() -> list[str]:
        queue, seen = WorkQueue[str](), list[str]()

        async def do(key: str) -> bool:
            seen.append(key)
            return True

        queue.add_after("a", 0.01)
        queue.add_after("b", 0.02)
        queue.forget("a")
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(queue.work(do, 1))
            while not seen:
                await asyncio.sleep(0.001)
            await queue.stop(1)
        return seen

    assert asyncio.run(main()) == ["b"]


def test_stopping_lets_what_is_under_way_end_and_begins_nothing_new() -> None:
    async def main() -> list[str]:
        queue, seen, begun = WorkQueue[str](), list[str](), asyncio.Event()

        async def do(key: str) -> bool:
            begun.set()
            await asyncio.sleep(0.05)
            seen.append(key)
            return True

        queue.add("a")
        queue.add("b")
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(queue.work(do, 1))
            await begun.wait()
            await queue.stop(5)
        return seen

    assert asyncio.run(main()) == ["a"]


def test_stopping_does_not_wait_for_ever() -> None:
    async def main() -> None:
        queue, begun = WorkQueue[str](), asyncio.Event()

        async def do(key: str) -> bool:
            begun.set()
            await asyncio.Event().wait()
            return True

        queue.add("a")
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(queue.work(do, 1))
            await begun.wait()
            await queue.stop(0.01)

    asyncio.run(main())


def test_an_exception_of_the_work_escapes() -> None:
    async def do(key: str) -> bool:
        raise LookupError(key)

    async def main() -> None:
        queue = WorkQueue[str]()
        queue.add("a")
        await queue.work(do, 2)

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(main())
    assert caught.group_contains(LookupError)


@pytest.mark.parametrize("failures", [1, 2, 10, 1000, 10**6])
def test_back_off_grows_and_is_bounded(failures: int) -> None:
    assert 0 < back_off_s(failures) <= back_off_s(failures + 1) <= LONGEST_BACK_OFF_S


Adds = st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans(), st.integers(0, 3)), max_size=60)


@settings(max_examples=150, deadline=None)
@given(adds=Adds, workers=st.integers(1, 5))
def test_no_key_is_lost_and_none_has_two_workers(adds: list[tuple[str, bool, int]], workers: int) -> None:
    """After the last add of a key there is a whole look at it, whatever happens meanwhile."""
    looks: Counter[str] = Counter()
    busy: set[str] = set()
    added: dict[str, int] = {}

    async def main() -> None:
        queue = WorkQueue[str]()
        moment = 0

        async def do(key: str) -> bool:
            nonlocal moment
            assert key not in busy
            busy.add(key)
            begun = moment = moment + 1
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            busy.discard(key)
            looks[key] = begun
            return True

        async def feed() -> None:
            nonlocal moment
            for key, urgent, pause in adds:
                queue.add(key, urgent=urgent)
                moment += 1
                added[key] = moment
                for _ in range(pause):
                    await asyncio.sleep(0)

        await finish(queue, do, workers, asyncio.ensure_future(feed()))

    asyncio.run(main())
    assert all(looks[key] > moment for key, moment in added.items())
