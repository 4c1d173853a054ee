"""What only Events tell is asked for sparingly, and told in their words."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from wan_core.api.status import LINE_MAX
from wan_operator.cluster.api import Api
from wan_operator.cluster.pods import JobFacts
from wan_operator.cluster.refusals import Forbidden, Unavailable
from wan_operator.cluster.stories import ASKS_BURST, Stories, last_word


class Events:
    """The part of the API client that reads Events."""

    def __init__(self, *answers: object) -> None:
        self.answers, self.asked = list(answers), 0

    async def list_events(self, namespace: str, involved_uid: str) -> object:
        self.asked += 1
        answer = self.answers[min(self.asked, len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def event(message: str, reason: str = "FailedCreate", **times: Any) -> dict[str, Any]:
    return {"reason": reason, "message": message} | (times or {"lastTimestamp": "2026-01-01T12:00:00Z"})


def job(number: int = 1) -> JobFacts:
    created = datetime(2026, 1, 1, tzinfo=UTC)
    return JobFacts("films", f"j{number}", f"uid-{number}", "u", "corgi", number, (), "", created)


def told(events: Events, clock: Clock, *moments: float) -> list[tuple[dict[str, str], float | None]]:
    """What is told at each moment."""
    stories = Stories(cast(Api, events), clock)

    async def main() -> list[tuple[dict[str, str], float | None]]:
        answers = []
        for moment in moments:
            clock.now = moment
            answers.append(await stories.about([job()]))
        return answers

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("events", "word"),
    [
        pytest.param([], None, id="none"),
        pytest.param([event("no")], "no", id="one"),
        pytest.param([event("created", "SuccessfulCreate")], None, id="one that does not tell why"),
        pytest.param(
            [event("new", lastTimestamp="2026-01-01T12:00:09Z"), event("old")], "new", id="the latest of two"
        ),
        pytest.param(
            [event("old"), event("new", eventTime="2026-01-01T12:00:09.5Z", series=None)],
            "new",
            id="the newer API",
        ),
        pytest.param([event("")], None, id="an empty one"),
        pytest.param([event("x" * 5000)], "x" * LINE_MAX, id="a long one"),
        pytest.param([{}], None, id="junk"),
    ],
)
def test_the_last_word_counts(events: Sequence[dict[str, Any]], word: str | None) -> None:
    assert last_word(events) == word


def test_the_same_thing_is_not_asked_about_again_at_once() -> None:
    events = Events([event("no")])

    answers = told(events, Clock(), 0, 1, 2, 4.9)

    assert events.asked == 1
    assert [texts for texts, _ in answers] == [{"uid-1": "no"}] * 4
    assert answers[-1][1] == pytest.approx(0.1)


def test_it_is_asked_less_and_less_often() -> None:
    events = Events([event("no")])

    told(events, Clock(), *range(600))

    assert events.asked <= 15


def test_a_story_is_kept_when_its_event_has_expired() -> None:
    answers = told(Events([event("no")], []), Clock(), 0, 3600)

    assert [texts for texts, _ in answers] == [{"uid-1": "no"}] * 2


def test_the_status_can_do_without_events_that_may_not_be_read() -> None:
    ((texts, again_s),) = told(Events(Forbidden("no")), Clock(), 0)

    assert texts == {}
    assert again_s is not None


def test_while_the_api_server_is_away_nothing_is_made_up() -> None:
    with pytest.raises(Unavailable):
        told(Events(Unavailable("down")), Clock(), 0)


def test_many_that_hang_do_not_press_the_api_server() -> None:
    events = Events([event("no")])
    stories = Stories(cast(Api, events), Clock())

    asyncio.run(stories.about([job(n) for n in range(1, 500)]))

    assert events.asked == ASKS_BURST


def test_nothing_that_hangs_is_nothing_to_ask() -> None:
    events = Events([])

    assert asyncio.run(Stories(cast(Api, events), Clock()).about([])) == ({}, None)
    assert events.asked == 0
