"""TokenReviews: asked once for many, remembered for a while, bounded in number."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from wan_operator.cluster import reviews
from wan_operator.cluster.reviews import AT_ONCE_MAX, POD_UID, Bearer, CannotReview, Reviews, read_bearer

GOOD = {
    "authenticated": True,
    "audiences": ["a"],
    "user": {"username": "system:serviceaccount:n:s", "extra": {POD_UID: ["p"]}},
}
BEARER = Bearer("system:serviceaccount:n:s", "p")


class Server:
    """An API server that answers when it is told to."""

    def __init__(self, status: Mapping[str, Any] | None = GOOD, *, open: bool = True) -> None:
        self.status = status
        self.gate = asyncio.Event()
        self.asked = self.at_once = self.most = 0
        if open:
            self.gate.set()

    async def review(self, token: str, audiences: list[str]) -> Mapping[str, Any] | None:
        self.asked += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await self.gate.wait()
        self.at_once -= 1
        return self.status


async def turns() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_many_reports_with_one_token_ask_once() -> None:
    async def scene() -> None:
        server = Server(open=False)
        asked = Reviews(server.review)
        waiting = [asyncio.create_task(asked.identify("t", "a")) for _ in range(50)]
        await turns()
        waiting[0].cancel()  # its client has gone: the others are served nevertheless
        server.gate.set()
        assert await asyncio.gather(*waiting[1:]) == [BEARER] * 49
        assert server.asked == 1

    asyncio.run(scene())


def test_few_are_asked_at_once_and_too_many_are_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviews, "WAITING_MAX", 4)

    async def scene() -> None:
        server = Server(open=False)
        asked = Reviews(server.review)
        waiting = [asyncio.create_task(asked.identify(f"t{n}", "a")) for n in range(AT_ONCE_MAX + 4)]
        await turns()
        with pytest.raises(CannotReview):
            await asked.identify("one more", "a")
        server.gate.set()
        assert await asyncio.gather(*waiting) == [BEARER] * len(waiting)
        assert server.most == AT_ONCE_MAX

    asyncio.run(scene())


def test_what_the_api_server_could_not_say_is_not_remembered() -> None:
    async def scene() -> None:
        server = Server(None)
        asked = Reviews(server.review)
        for _ in range(2):
            with pytest.raises(CannotReview):
                await asked.identify("t", "a")
        server.status = GOOD
        assert await asked.identify("t", "a") == BEARER

    asyncio.run(scene())


def test_a_token_is_remembered_for_its_audience_only() -> None:
    async def scene() -> None:
        server = Server()
        asked = Reviews(server.review)
        assert await asked.identify("t", "a") == BEARER
        assert await asked.identify("t", "b") is None
        assert server.asked == 2

    asyncio.run(scene())


def test_memory_is_bounded_and_holds_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviews, "REMEMBERED_MAX", 10)

    async def scene() -> None:
        server = Server()
        asked = Reviews(server.review)
        for number in range(30):
            await asked.identify(f"secret-{number}", "a")
        assert len(asked._known) == 10
        assert "secret" not in repr(vars(asked))
        await asked.identify("secret-29", "a")
        assert server.asked == 30

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("status", "bearer"),
    [
        pytest.param(GOOD, BEARER, id="a projected token"),
        pytest.param({}, None, id="an empty status"),
        pytest.param(GOOD | {"authenticated": False}, None, id="not authenticated"),
        pytest.param(GOOD | {"authenticated": "true"}, None, id="a word in place of a truth"),
        pytest.param(GOOD | {"audiences": None}, None, id="no audiences"),
        pytest.param(GOOD | {"audiences": ["b"]}, None, id="another audience"),
        pytest.param(GOOD | {"user": {"username": "u"}}, Bearer("u", None), id="bound to no pod"),
        pytest.param(
            GOOD | {"user": {"username": "u", "extra": {POD_UID: ["p", "q"]}}},
            Bearer("u", None),
            id="two pods",
        ),
    ],
)
def test_a_bearer_is_read_from_a_review(status: Mapping[str, Any], bearer: Bearer | None) -> None:
    assert read_bearer(status, "a") == bearer
