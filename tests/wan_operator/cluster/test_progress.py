"""The progress endpoint of the cluster, over real HTTP; the TokenReview is faked at the callable."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from tests.wan_operator.worlds import UID, reports
from wan_core.task import Stage
from wan_operator.cluster.listen import serving
from wan_operator.cluster.metrics import Metrics
from wan_operator.cluster.names import audience_of
from wan_operator.cluster.progress import TOLD_EVERY_S, Key, ProgressInbox, Reporting
from wan_operator.reports import BODY_MAX_BYTES

KEY = ("videos", "corgi")
POD = "pod-uid-1"
ACCOUNT = "system:serviceaccount:videos:wan-runner"
POD_EXTRA = "authentication.kubernetes.io/pod-uid"


def reviewed(audience: str, pod: str = POD, account: str = ACCOUNT) -> dict[str, Any]:
    """The status of a TokenReview as the API server answers it for a projected token."""
    user = {"username": account, "groups": ["system:authenticated"], "extra": {POD_EXTRA: [pod]}}
    return {"authenticated": True, "audiences": [audience], "user": user}


@dataclass
class Scene:
    """An inbox and its surroundings: who lives, what the API server says of tokens, and who was told."""

    living: dict[tuple[str, int], Reporting] = field(default_factory=lambda: {(UID, 1): Reporting(KEY, POD)})
    tokens: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    told: list[Key] = field(default_factory=list)
    now: float = 1000.0
    metrics: Metrics = field(default_factory=Metrics)
    url: str = ""
    during_review: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.tokens["good"] = reviewed(audience_of(UID, 1))
        self.inbox = ProgressInbox(
            service_account="wan-runner",
            review=self.review,
            known=lambda uid, attempt: self.living.get((uid, attempt)),
            notify=self.told.append,
            metrics=self.metrics,
            quiet_s=300.0,
            clock=lambda: self.now,
        )

    async def review(self, token: str, audiences: list[str]) -> Mapping[str, Any] | None:
        self.asked.append(token)
        self.during_review()
        await asyncio.sleep(0)
        status = self.tokens.get(token, {"authenticated": False})
        if status is not None and not set(audiences) & set(status.get("audiences", [])):
            return {"authenticated": False, "error": "token audiences do not match"}
        return status

    @asynccontextmanager
    async def served(self) -> AsyncIterator[aiohttp.ClientSession]:
        app = self.inbox.application()
        async with serving(app, 0, "127.0.0.1") as port, aiohttp.ClientSession() as session:
            self.url = f"http://127.0.0.1:{port}/v1/progress"
            yield session

    async def post(
        self,
        session: aiohttp.ClientSession,
        body: bytes | None = None,
        token: str | None = "good",
        **more: Any,
    ) -> int:
        """The answer's status code."""
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        data = body if body is not None else body_of(**more)
        async with session.post(self.url, data=data, headers=headers) as answer:
            return answer.status


def body_of(**changes: Any) -> bytes:
    return json.dumps(reports().to_dict() | changes).encode()


def play(scene: Scene, script: Callable[[Scene, aiohttp.ClientSession], Coroutine[Any, Any, None]]) -> None:
    """Run a script against the served application."""

    async def run() -> None:
        async with scene.served() as session:
            await script(scene, session)

    asyncio.run(run())


def post_once(scene: Scene, body: bytes, token: str | None) -> int:
    codes: list[int] = []

    async def script(scene: Scene, session: aiohttp.ClientSession) -> None:
        codes.append(await scene.post(session, body, token))

    play(scene, script)
    return codes[0]


def test_a_report_from_the_attempts_own_pod_is_received_with_the_time_of_arrival() -> None:
    scene, before = Scene(), datetime.now(UTC)
    assert post_once(scene, body_of(done=3, total=10), "good") == 204
    latest = scene.inbox.latest(UID, 1)
    assert latest is not None
    assert (latest.stage, latest.done) == (Stage.DENOISING, 3)
    assert before <= latest.time <= datetime.now(UTC)
    assert scene.told == [KEY]


@pytest.mark.parametrize(
    ("token", "body", "code"),
    [
        pytest.param("good", b" " * (BODY_MAX_BYTES + 1), 413, id="too long a body"),
        pytest.param("good", b"{", 400, id="no JSON"),
        pytest.param("good", b"[" * 60_000, 400, id="deep nesting"),
        pytest.param("good", b"\xff\xfe", 400, id="no UTF-8"),
        pytest.param("good", b"", 400, id="nothing"),
        pytest.param("good", body_of(stage="Dreaming"), 400, id="an unknown stage"),
        pytest.param("good", body_of(extra=1), 400, id="an unknown field"),
        pytest.param("good", body_of(plan="\ud800"), 400, id="a lone surrogate"),
        pytest.param("good", body_of(eta_seconds=float("nan")), 400, id="NaN"),
        pytest.param("good", body_of(attempt=2), 403, id="an attempt that does not live"),
        pytest.param("good", body_of(uid="another"), 403, id="a resource that is not there"),
        pytest.param(None, body_of(), 401, id="no token"),
        pytest.param("", body_of(), 401, id="an empty token"),
        pytest.param("é", body_of(), 401, id="a token that is no ASCII"),
        pytest.param("unknown", body_of(), 401, id="a token that the API server does not know"),
        pytest.param("other attempt", body_of(), 401, id="the token of another attempt"),
        pytest.param("no audience", body_of(), 401, id="an answer without an audience"),
        pytest.param("other pod", body_of(), 403, id="a token of another pod"),
        pytest.param("no pod", body_of(), 403, id="a token that is bound to no pod"),
        pytest.param("other account", body_of(), 403, id="another service account"),
        pytest.param("other namespace", body_of(), 403, id="another namespace's service account"),
        pytest.param("away", body_of(), 503, id="the API server cannot be asked"),
    ],
)
def test_what_is_not_believed_is_refused(token: str | None, body: bytes, code: int) -> None:
    ours = audience_of(UID, 1)
    unbound = {"authenticated": True, "audiences": [ours], "user": {"username": ACCOUNT}}
    scene = Scene()
    scene.tokens |= {
        "other attempt": reviewed(audience_of(UID, 2)),
        "no audience": {"authenticated": True, "user": {"username": ACCOUNT}},
        "other pod": reviewed(ours, pod="pod-uid-2"),
        "no pod": unbound,
        "other account": reviewed(ours, account="system:serviceaccount:videos:default"),
        "other namespace": reviewed(ours, account="system:serviceaccount:elsewhere:wan-runner"),
        "away": None,
    }
    assert post_once(scene, body, token) == code
    assert scene.inbox.latest(UID, 1) is None
    assert scene.told == []


def test_a_body_of_just_the_largest_size_is_read() -> None:
    body = body_of()
    assert post_once(Scene(), body + b" " * (BODY_MAX_BYTES - len(body)), "good") == 204


@pytest.mark.parametrize(
    ("body", "token"),
    [
        pytest.param(b" " * (BODY_MAX_BYTES + 1), "good", id="too long"),
        pytest.param(b"{", "good", id="malformed"),
        pytest.param(body_of(attempt=9), "good", id="an unknown attempt"),
        pytest.param(body_of(), None, id="no token"),
    ],
)
def test_what_can_be_refused_without_the_api_server_is(body: bytes, token: str | None) -> None:
    scene = Scene()
    post_once(scene, body, token)
    assert scene.asked == []


def test_other_paths_and_methods_are_not_served() -> None:
    async def script(scene: Scene, session: aiohttp.ClientSession) -> None:
        async with session.get(scene.url) as answer:
            assert answer.status == 405
        async with session.post(scene.url + "/x", data=body_of()) as answer:
            assert answer.status == 404

    play(Scene(), script)


def test_a_chunked_body_without_an_end_is_cut_off_at_the_limit() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b" " * 1024

    async def script(scene: Scene, session: aiohttp.ClientSession) -> None:
        async with session.post(scene.url, data=pieces()) as answer:
            assert answer.status == 413

    play(Scene(), script)


def test_a_pod_that_was_not_seen_yet_is_asked_to_come_again() -> None:
    async def script(scene: Scene, session: aiohttp.ClientSession) -> None:
        scene.living[UID, 1] = Reporting(KEY, None)
        headers = {"Authorization": "Bearer good"}
        async with session.post(scene.url, data=body_of(), headers=headers) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        scene.living[UID, 1] = Reporting(KEY, POD)
        assert await scene.post(session) == 204

    play(Scene(), script)


def test_a_token_is_reviewed_again_after_a_minute_and_a_refused_one_after_ten_seconds() -> None:
    async def script(scene: Scene, session: aiohttp.ClientSession) -> None:
        for token, remembered_s in [("good", 60), ("bad", 10)]:
            scene.asked.clear()
            for wait_s in (0, remembered_s - 1, 2, 0):
                scene.now += wait_s
                await scene.post(session, token=token)
            assert scene.asked == [token, token]

    play(Scene(), script)


def test_an_attempt_that_ends_during_the_review_is_not_remembered() -> None:
    scene = Scene()
    scene.during_review = scene.living.clear
    assert post_once(scene, body_of(), "good") == 403
    assert scene.inbox.latest(UID, 1) is None


def test_older_reports_never_set_progress_back() -> None:
    async def script(scene: Scene, session: aiohttp.ClientSession) -> None:
        scene.living[UID, 2] = Reporting(KEY, "pod-uid-2")
        scene.tokens["second"] = reviewed(audience_of(UID, 2), "pod-uid-2")
        await scene.post(session, stage=Stage.DENOISING, done=5, total=10)
        for stage, done in [(Stage.LOADING, 9), (Stage.DENOISING, 4)]:
            assert await scene.post(session, stage=stage, done=done, total=10) == 204
            latest = scene.inbox.latest(UID, 1)
            assert latest is not None
            assert (latest.stage, latest.done) == (Stage.DENOISING, 5)
        await scene.post(session, token="second", stage=Stage.STARTING, attempt=2)
        await scene.post(session, stage=Stage.UPLOADING)
        assert scene.inbox.latest(UID, 1) is None
        latest = scene.inbox.latest(UID, 2)
        assert latest is not None
        assert latest.stage is Stage.STARTING

    play(Scene(), script)


def test_a_stage_is_told_at_once_and_steps_at_most_every_five_seconds() -> None:
    async def script(scene: Scene, session: aiohttp.ClientSession) -> None:
        await scene.post(session, stage=Stage.LOADING)
        await scene.post(session, stage=Stage.DENOISING, done=0, total=1000)
        assert len(scene.told) == 2
        scene.now += TOLD_EVERY_S + 1
        await scene.post(session, done=9, total=1000)
        await asyncio.sleep(0)
        assert len(scene.told) == 2  # less than 1 %
        await scene.post(session, done=10, total=1000)
        while len(scene.told) < 3:
            await asyncio.sleep(0.01)
        await scene.post(session, done=500, total=1000)
        assert len(scene.told) == 3  # not within 5 s

    play(Scene(), script)


def test_loading_is_told_by_its_percentage_whatever_its_phases_count() -> None:
    async def script(scene: Scene, session: aiohttp.ClientSession) -> None:
        async def post(phase: str, done: int, percent: float) -> None:
            load = {"phase": phase, "done": done, "total": 1000, "percent": percent}
            assert await scene.post(session, stage=Stage.FETCHING, done=done, total=1000, load=load) == 204

        await post("cache check", 900, 3.0)
        scene.now += TOLD_EVERY_S + 1
        await post("download", 5, 3.5)
        await asyncio.sleep(0)
        latest = scene.inbox.latest(UID, 1)
        assert (len(scene.told), latest and latest.done) == (1, 5)  # kept, but less than 1 %
        await post("download", 10, 4.0)
        while len(scene.told) < 2:
            await asyncio.sleep(0.01)
        await post("download", 900, 2.0)  # late
        latest = scene.inbox.latest(UID, 1)
        assert latest is not None
        assert latest.done == 10

    play(Scene(), script)


def test_what_came_too_soon_is_told_later_although_nothing_more_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("wan_operator.cluster.progress.TOLD_EVERY_S", 1.0)

    async def script(scene: Scene, session: aiohttp.ClientSession) -> None:
        await scene.post(session, done=1, total=10)
        await scene.post(session, done=2, total=10)
        await scene.post(session, done=3, total=10)
        assert len(scene.told) == 1
        while len(scene.told) < 2:
            await asyncio.sleep(0.01)
        latest = scene.inbox.latest(UID, 1)
        assert latest is not None
        assert latest.done == 3

    play(Scene(), script)


def test_the_first_report_after_a_silence_is_told_for_the_stall_is_over() -> None:
    async def script(scene: Scene, session: aiohttp.ClientSession) -> None:
        await scene.post(session, done=1, total=1000)
        scene.now += 301
        await scene.post(session, done=1, total=1000)
        assert len(scene.told) == 2

    play(Scene(), script)


def test_a_hundred_attempts_at_once_are_told_sparingly_and_none_is_lost() -> None:
    async def script(scene: Scene, session: aiohttp.ClientSession) -> None:
        for number in range(100):
            uid = f"uid-{number}"
            scene.living[uid, 1] = Reporting(("videos", uid), POD)
            scene.tokens[uid] = reviewed(audience_of(uid, 1))
            assert await scene.post(session, token=uid, uid=uid) == 204
        assert len(scene.told) == 20  # the clock stands still
        while len(scene.told) < 100:
            scene.now += 1
            await asyncio.sleep(0.05)
        assert set(scene.told) == {("videos", f"uid-{number}") for number in range(100)}

    play(Scene(), script)


def test_what_is_forgotten_is_gone() -> None:
    async def script(scene: Scene, session: aiohttp.ClientSession) -> None:
        await scene.post(session, done=1, total=10)
        await scene.post(session, done=5, total=10)  # its timer runs
        scene.inbox.forget(UID)
        scene.inbox.forget(UID)
        assert scene.inbox.latest(UID, 1) is None
        assert len(scene.told) == 1

    play(Scene(), script)


def test_long_refusals_are_cut_before_they_are_kept() -> None:
    scene = Scene()
    assert post_once(scene, body_of(refused=["x" * 3000] * 20), "good") == 204
    latest = scene.inbox.latest(UID, 1)
    assert latest is not None
    assert [len(text) for text in latest.refused] == [1024] * 12


def test_what_became_of_each_report_is_counted() -> None:
    async def script(scene: Scene, session: aiohttp.ClientSession) -> None:
        await scene.post(session)
        await scene.post(session, stage=Stage.STARTING)
        await scene.post(session, body=b"{")
        text = scene.metrics.render().decode()
        for result in ("accepted", "outdated", "malformed"):
            assert f'wan_operator_progress_reports_total{{result="{result}"}} 1.0' in text

    play(Scene(), script)
