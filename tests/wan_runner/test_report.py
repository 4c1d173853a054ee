from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.wan_runner.inbox import Inbox
from wan_core.task import Progress, Stage
from wan_runner.report import Reporter


def progress(done: int, stage: Stage = Stage.DENOISING) -> Progress:
    return Progress(uid="u-1", attempt=1, stage=stage, done=done, total=9, time=datetime.now(UTC))


def test_the_latest_report_wins_and_the_last_is_flushed(inbox: Inbox) -> None:
    inbox.gate.clear()
    reporter = Reporter(inbox.url, None)
    reporter.send(progress(1))
    assert inbox.arrived.acquire(timeout=60)
    for done in (2, 3, 4):  # while the first is under way
        reporter.send(progress(done))
    inbox.gate.set()
    reporter.close()
    assert inbox.steps() == [1, 4]


def test_every_stage_is_told_in_order_however_short_it_was(inbox: Inbox) -> None:
    inbox.gate.clear()
    reporter = Reporter(inbox.url, None)
    for stage in Stage:  # all but the first wait together
        reporter.send(progress(0, stage))
    inbox.gate.set()
    reporter.close()
    assert [letter["stage"] for letter in inbox.letters] == list(Stage)


def test_a_report_is_the_documents_json(inbox: Inbox) -> None:
    reporter = Reporter(inbox.url, None)
    reporter.send(progress(3))
    reporter.close()
    assert Progress.model_validate(inbox.letters[0]).done == 3
    assert inbox.headers[0]["Content-Type"] == "application/json"
    assert "Authorization" not in inbox.headers[0]


def test_the_token_is_read_anew_for_each_report(inbox: Inbox, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    reporter = Reporter(inbox.url, token)
    reporter.send(progress(1))
    assert inbox.arrived.acquire(timeout=60)
    token.write_text("second\n")
    reporter.send(progress(2))
    reporter.close()
    assert [h["Authorization"] for h in inbox.headers] == ["Bearer first", "Bearer second"]


def test_a_redirect_does_not_carry_the_token_away(inbox: Inbox, tmp_path: Path) -> None:
    inbox.answer = 307
    reporter = Reporter(inbox.url, None)
    reporter.send(progress(1))
    reporter.close()
    assert len(inbox.letters) == 1


@pytest.mark.parametrize(
    "url",
    [None, "http://127.0.0.1:9/progress", "http://no-such-host.invalid/", "nonsense", "http://[::1/"],
    ids=["none", "refused", "unknown host", "not a URL", "half a URL"],
)
def test_an_operator_that_does_not_answer_is_no_failure(url: str | None) -> None:
    reporter = Reporter(url, Path("/no/such/token"))
    reporter.send(progress(1))
    reporter.close()


def test_an_error_is_logged_once(inbox: Inbox, caplog: pytest.LogCaptureFixture) -> None:
    inbox.answer = 503
    reporter = Reporter(inbox.url, None)
    for done in (1, 2):
        reporter.send(progress(done))
        assert inbox.arrived.acquire(timeout=60)
    reporter.close()
    assert [r.getMessage() for r in caplog.records] == [
        "progress could not be reported: HTTP Error 503: Service Unavailable"
    ]
