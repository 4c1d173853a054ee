"""Progress by HTTP: a mailbox that holds one letter a stage, and a thread that posts them.

Never blocks and never fails the attempt: reports are for people, only the Result counts. Of a stage the
latest report wins; that a stage began is always told, and at once.
"""

from __future__ import annotations

import http.client
import json
import logging
import threading
import urllib.request
from pathlib import Path
from typing import Any

from wan_core.task import Progress, Stage

MIN_INTERVAL_S = 0.5  # within a stage at most two reports a second: what a progress bar can show
TIMEOUT_S = 2.0  # of one report; also what the last one may delay the end of the attempt

log = logging.getLogger(__name__)


class Reporter:
    """Posts progress to `url`, or nowhere if there is none. The token is read anew each time: kubelets
    rotate it.
    """

    def __init__(self, url: str | None, token_file: Path | None) -> None:
        self._url, self._token_file = url, token_file
        self._changed = threading.Condition()
        self._letters: dict[Stage, Progress] = {}
        self._closing = False
        self._failing = False
        self._thread = threading.Thread(target=self._work, name="report", daemon=True)
        if url is not None:
            self._thread.start()

    def send(self, progress: Progress) -> None:
        """Leave a report to be posted; one of the same stage that still waits is replaced."""
        with self._changed:
            self._letters[progress.stage] = progress
            self._changed.notify()

    def close(self) -> None:
        """Post what still waits, and stop; returns within twice `TIMEOUT_S`."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(2 * TIMEOUT_S)

    def _work(self) -> None:
        while (letter := self._take()) is not None:
            self._post(letter)
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._begun_after(letter), MIN_INTERVAL_S)

    def _begun_after(self, letter: Progress) -> bool:
        return any(stage is not letter.stage for stage in self._letters)

    def _take(self) -> Progress | None:
        """The oldest stage's letter; None when closing and nothing waits."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or bool(self._letters))
            return self._letters.pop(next(iter(self._letters))) if self._letters else None

    def _post(self, progress: Progress) -> None:
        try:
            request = urllib.request.Request(
                self._url or "", json.dumps(progress.to_dict()).encode(), self._headers()
            )
            with _OPENER.open(request, timeout=TIMEOUT_S):
                self._failing = False
        except (OSError, http.client.HTTPException, ValueError) as error:
            if not self._failing:
                log.warning("progress could not be reported: %s", error)
            self._failing = True

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if self._token_file is not None and self._token_file.exists():
            headers["Authorization"] = f"Bearer {self._token_file.read_text().strip()}"
        return headers


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The token goes to the operator and nowhere else."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
