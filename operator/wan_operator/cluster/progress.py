"""Progress from runners, by HTTP: a report is believed only from the pod of that very attempt.

Reports are for people; only the Result counts. So a report that cannot be believed now is refused, the runner
goes on, and its next one says the same. What is cheap is checked first: a review costs the API server a call.
The time of a report is that of its arrival. An older one never sets progress back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus

from aiohttp import web
from pydantic import ValidationError

from wan_core.api.status import REFUSALS_MAX, WARNINGS_MAX
from wan_core.api.words import first_of
from wan_core.task import Progress, Stage
from wan_operator.cluster.bucket import Bucket
from wan_operator.cluster.coalesce import Pace
from wan_operator.cluster.metrics import Metrics
from wan_operator.cluster.names import audience_of
from wan_operator.cluster.reviews import CannotReview, Review, Reviews
from wan_operator.history import cut
from wan_operator.reports import BODY_MAX_BYTES, PATH, read_report

Key = tuple[str, str]  # namespace and name of a resource

BODY_TIMEOUT_S = 5.0
TOLD_EVERY_S = 5.0  # one attempt's progress within a stage, and only if it moved by
TOLD_SHARE = 0.01
TOLD_PER_S = 20.0  # all attempts' together: each costs a write of a status
ORDER = {stage: number for number, stage in enumerate(Stage)}


@dataclass(frozen=True, slots=True)
class Reporting:
    """A living attempt: whose it is, and its pod's uid, None where the pod has not been seen yet."""

    key: Key
    pod_uid: str | None


class Answer(Enum):
    """What became of a report: the status code, and a sentence for whoever reads the answer to a refusal."""

    ACCEPTED = (HTTPStatus.NO_CONTENT, "it is the latest")
    OUTDATED = (HTTPStatus.NO_CONTENT, "a later one is known")
    TOO_SLOW = (HTTPStatus.REQUEST_TIMEOUT, f"the report did not arrive within {BODY_TIMEOUT_S:g} s")
    TOO_LARGE = (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a report has at most {BODY_MAX_BYTES} bytes")
    MALFORMED = (HTTPStatus.BAD_REQUEST, "this is no Progress of version 1")
    UNKNOWN_ATTEMPT = (HTTPStatus.FORBIDDEN, "no such attempt runs")
    NO_TOKEN = (HTTPStatus.UNAUTHORIZED, "a bearer token is needed")
    WRONG_TOKEN = (HTTPStatus.UNAUTHORIZED, "the token is not good for this attempt")
    WRONG_POD = (HTTPStatus.FORBIDDEN, "the token is not that of this attempt's pod")
    POD_UNSEEN = (HTTPStatus.SERVICE_UNAVAILABLE, "the pod of this attempt has not been seen yet")
    CANNOT_REVIEW = (HTTPStatus.SERVICE_UNAVAILABLE, "the token cannot be reviewed now")


@dataclass(slots=True)
class Told:
    """An attempt's latest report, and the one that was told last."""

    latest: Progress
    told: Progress
    told_at: float
    heard_at: float
    timer: asyncio.TimerHandle | None = None


class ProgressInbox:
    """Keeps the latest believed report of each resource's newest attempt, and tells of it sparingly.

    `review(token, audiences)` is the `status` of a TokenReview, None where the API server gave none.
    `known(uid, attempt)` is None unless that attempt lives. `notify(key)` is called in the event loop: at a
    new stage, when progress moved by 1 % but not within 5 s, and after a silence of `quiet_s`, which may have
    been told as a stall. Memory is bounded by the attempts that live until `forget` is called.
    """

    def __init__(
        self,
        *,
        service_account: str,
        review: Review,
        known: Callable[[str, int], Reporting | None],
        notify: Callable[[Key], None],
        metrics: Metrics,
        quiet_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service_account = service_account
        self._known, self._metrics, self._quiet_s, self._clock = known, metrics, quiet_s, clock
        self._reviews = Reviews(review, clock)
        self._pace = Pace(notify, Bucket(TOLD_PER_S, int(TOLD_PER_S), clock))
        self._told: dict[str, Told] = {}  # by uid

    def latest(self, uid: str, attempt: int) -> Progress | None:
        """The latest report of this attempt; its `time` is that of arrival."""
        entry = self._told.get(uid)
        return entry.latest if entry is not None and entry.latest.attempt == attempt else None

    def forget(self, uid: str) -> None:
        """Drop what is known of a resource that is finished or gone."""
        entry = self._told.pop(uid, None)
        if entry is not None and entry.timer is not None:
            entry.timer.cancel()

    def application(self) -> web.Application:
        """To be served with `listen.serving(inbox.application(), settings.report.port)`."""
        app = web.Application(client_max_size=BODY_MAX_BYTES)
        app.router.add_post(PATH, self._post)
        return app

    async def _post(self, request: web.Request) -> web.Response:
        answer = await self._answer(request)
        self._metrics.reported(answer.name.lower())
        status, text = answer.value
        if status is HTTPStatus.NO_CONTENT:
            return web.Response(status=status)
        headers = {"Retry-After": "1"} if status is HTTPStatus.SERVICE_UNAVAILABLE else None
        return web.Response(status=status, text=f"{text}\n", headers=headers)

    async def _answer(self, request: web.Request) -> Answer:
        if (request.content_length or 0) > BODY_MAX_BYTES:
            return Answer.TOO_LARGE
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                report = read_report(await request.read())
        except TimeoutError:
            return Answer.TOO_SLOW
        except web.HTTPRequestEntityTooLarge:
            return Answer.TOO_LARGE
        except ValidationError:
            return Answer.MALFORMED
        attempt = self._known(report.uid, report.attempt)
        if attempt is None:
            return Answer.UNKNOWN_ATTEMPT
        refusal = await self._refusal(request.headers.get("Authorization", ""), report, attempt)
        return refusal or self._take(report, attempt.key)

    async def _refusal(self, authorization: str, report: Progress, attempt: Reporting) -> Answer | None:
        """Why this bearer is not believed; None if it is."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token or not token.isascii():
            return Answer.NO_TOKEN
        if attempt.pod_uid is None:
            return Answer.POD_UNSEEN  # whose pod it is could not be checked: the next report will do
        try:
            bearer = await self._reviews.identify(token, audience_of(report.uid, report.attempt))
        except CannotReview:
            return Answer.CANNOT_REVIEW
        if bearer is None:
            return Answer.WRONG_TOKEN
        account = f"system:serviceaccount:{attempt.key[0]}:{self._service_account}"
        if bearer.username != account or bearer.pod_uid != attempt.pod_uid:
            return Answer.WRONG_POD
        return None

    def _take(self, report: Progress, key: Key) -> Answer:
        if self._known(report.uid, report.attempt) is None:
            return Answer.UNKNOWN_ATTEMPT  # it ended while its token was reviewed
        refused = tuple(cut(text) for text in report.refused[:REFUSALS_MAX])
        warnings = tuple(cut(text) for text in first_of(report.warnings, WARNINGS_MAX, "warnings"))
        report = report.model_copy(update={"refused": refused, "warnings": warnings})
        entry, now = self._told.get(report.uid), self._clock()
        if entry is None or report.attempt > entry.latest.attempt:
            self.forget(report.uid)
            self._told[report.uid] = Told(report, report, now, now)
            self._pace.ask(key)
            return Answer.ACCEPTED
        if place(report) < place(entry.latest):
            return Answer.OUTDATED
        silence_s, entry.heard_at, entry.latest = now - entry.heard_at, now, report
        if is_news(entry.told, report) or silence_s >= self._quiet_s:
            self._tell(entry, key)
        elif moved(entry.told, report) and entry.timer is None:
            wait_s = max(0.0, entry.told_at + TOLD_EVERY_S - now)
            entry.timer = asyncio.get_running_loop().call_later(wait_s, self._tell, entry, key)
        return Answer.ACCEPTED

    def _tell(self, entry: Told, key: Key) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
        entry.timer, entry.told, entry.told_at = None, entry.latest, self._clock()
        self._pace.ask(key)


def place(report: Progress) -> tuple[int, int, float]:
    """Where a report stands among all of its resource: attempt, stage, what is done of the stage. Of loading
    only the percentage never goes back: its phases count different things.
    """
    return report.attempt, ORDER[report.stage], report.done if report.load is None else report.load.percent


def is_news(told: Progress, report: Progress) -> bool:
    """Whether a report says more than that it goes on: to be told at once."""
    return (told.stage, told.plan, told.device, told.warnings) != (
        report.stage,
        report.plan,
        report.device,
        report.warnings,
    )


def moved(told: Progress, report: Progress) -> bool:
    """Whether it goes on by enough to be told."""
    if told.load is not None and report.load is not None:
        return report.load.percent - told.load.percent >= 100 * TOLD_SHARE
    return (report.done - told.done) >= TOLD_SHARE * max(report.total, 1)
