"""Events as they are posted: each once, counted when repeated, few, and never in anybody's way."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.wan_operator.worlds import CREATED, UID
from wan_core.api.spec import NAME_PATTERN
from wan_core.api.status import Metadata, Phase, Status
from wan_operator.cluster.events import OBJECT_BURST, POSTED_BURST, Notice, Recorder, build_event
from wan_operator.cluster.metrics import Metrics
from wan_operator.cluster.refusals import Forbidden, Refusal, Unavailable
from wan_operator.cluster.sentences import Sentence

VIDEO = Metadata(name="corgi", namespace="videos", uid=UID, creation_timestamp=CREATED)


class Server:
    """Events as the API server keeps them, by name; it may refuse, and forgets after an hour."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.refusal: Refusal | None = None
        self.calls = 0

    async def create_event(self, namespace: str, event: Mapping[str, Any]) -> bool:
        self._answer()
        assert event["metadata"]["namespace"] == namespace == event["involvedObject"]["namespace"]
        name = event["metadata"]["name"]
        return self.events.setdefault(name, dict(event)) == event

    async def patch_event(self, namespace: str, name: str, patch: Mapping[str, Any]) -> bool:
        self._answer()
        if name not in self.events:
            return False
        self.events[name] |= patch
        return True

    def _answer(self) -> None:
        self.calls += 1
        if self.refusal is not None:
            raise self.refusal

    def told(self) -> dict[str, int]:
        return {event["reason"]: event["count"] for event in self.events.values()}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def waits(reason: str) -> Status:
    return Status(phase=Phase.QUEUED, reason=reason, message=f"because of {reason}")


class Desk:
    """A recorder whose backlog has been worked off whenever `tell` returns."""

    def __init__(self, server: Server) -> None:
        self.metrics, self.clock = Metrics(), Clock()
        self.recorder = Recorder(server, self.metrics, self.clock)

    async def tell(self, *reasons: str, about: Metadata = VIDEO) -> None:
        for reason in reasons:
            self.recorder.tell(about, Status(), waits(reason))
        for _ in range(20):
            await asyncio.sleep(0)

    def counted(self, result: str) -> float:
        return self.metrics.registry.get_sample_value("wan_operator_events_total", {"result": result}) or 0.0


def play(script: Callable[[Server, Desk], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        server = Server()
        desk = Desk(server)
        task = asyncio.create_task(desk.recorder.run())
        await script(server, desk)
        assert not task.done()
        task.cancel()

    asyncio.run(run())


def test_an_event_is_what_kubectl_describe_shows() -> None:
    when = datetime(2026, 1, 1, 12, 0, 0, 500, tzinfo=UTC)
    event = build_event(Notice(VIDEO, Sentence("Warning", "ErrImagePull", "not found"), when))
    name = event["metadata"].pop("name")
    assert re.fullmatch(NAME_PATTERN, name)
    assert event == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": "videos"},
        "involvedObject": {
            "apiVersion": "wan.video/v1alpha1",
            "kind": "VideoGeneration",
            "namespace": "videos",
            "name": "corgi",
            "uid": UID,
        },
        "type": "Warning",
        "reason": "ErrImagePull",
        "message": "not found",
        "count": 1,
        "firstTimestamp": "2026-01-01T12:00:00Z",
        "lastTimestamp": "2026-01-01T12:00:00Z",
        "source": {"component": "wan-operator"},
        "reportingComponent": "wan-operator",
    }


def test_the_longest_name_of_a_resource_still_names_an_event() -> None:
    longest = VIDEO.model_copy(update={"name": "a" * 199 + "." + "b" * 53})
    event = build_event(Notice(longest, Sentence("Normal", "Planned", "x"), datetime.now(UTC)))
    assert re.fullmatch(NAME_PATTERN, event["metadata"]["name"])
    assert len(event["metadata"]["name"]) <= 253


def test_the_same_words_are_counted_and_others_are_told_anew() -> None:
    async def script(server: Server, desk: Desk) -> None:
        await desk.tell("Unschedulable", "ErrImagePull", "Unschedulable", "Unschedulable")
        assert server.told() == {"Unschedulable": 3, "ErrImagePull": 1}
        assert (desk.counted("posted"), desk.counted("repeated")) == (2, 2)

    play(script)


def test_a_resource_that_was_created_again_under_its_name_has_events_of_its_own() -> None:
    async def script(server: Server, desk: Desk) -> None:
        await desk.tell("Unschedulable")
        await desk.tell("Unschedulable", about=VIDEO.model_copy(update={"uid": "another"}))
        assert len(server.events) == 2

    play(script)


def test_after_a_restart_the_count_of_an_event_is_left_as_it_is() -> None:
    async def script(server: Server, desk: Desk) -> None:
        await desk.tell("Unschedulable", "Unschedulable", "Unschedulable")
        (event,) = server.events.values()
        event["lastTimestamp"] = "long ago"
        restarted = Desk(server)
        task = asyncio.create_task(restarted.recorder.run())
        await restarted.tell("Unschedulable", "Unschedulable")
        task.cancel()
        assert server.told() == {"Unschedulable": 3}
        assert event["lastTimestamp"] != "long ago"

    play(script)


def test_an_event_that_the_api_server_forgot_is_made_anew() -> None:
    async def script(server: Server, desk: Desk) -> None:
        await desk.tell("Unschedulable", "Unschedulable")
        server.events.clear()
        await desk.tell("Unschedulable")
        assert server.told() == {"Unschedulable": 1}

    play(script)


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(Unavailable("no answer"), id="the API server is away"),
        pytest.param(Forbidden("namespace is being terminated", 403), id="the namespace goes away"),
    ],
)
def test_what_cannot_be_posted_is_counted_and_the_next_is_told(refusal: Refusal) -> None:
    async def script(server: Server, desk: Desk) -> None:
        server.refusal = refusal
        await desk.tell("Unschedulable")
        server.refusal = None
        await desk.tell("ErrImagePull")
        assert server.told() == {"ErrImagePull": 1}
        assert desk.counted("failed") == 1

    play(script)


def test_one_resource_cannot_flood() -> None:
    async def script(server: Server, desk: Desk) -> None:
        for number in range(OBJECT_BURST + 30):
            await desk.tell(f"Reason{number}")
        assert len(server.events) == OBJECT_BURST
        assert desk.counted("dropped") == 30
        desk.clock.now += 31
        await desk.tell("Later")
        assert "Later" in server.told()

    play(script)


def test_all_together_are_told_at_a_bounded_rate_and_warnings_first() -> None:
    async def script(server: Server, desk: Desk) -> None:
        suspended = Status(phase=Phase.SUSPENDED, reason="Suspended")
        for number in range(2000):
            desk.recorder.tell(VIDEO.model_copy(update={"uid": f"u{number}"}), Status(), suspended)
        await desk.tell("Unschedulable")
        for _ in range(200):
            await asyncio.sleep(0)
        assert server.calls == POSTED_BURST
        assert "Unschedulable" in server.told()
        assert desk.counted("dropped") == 1000

    play(script)
