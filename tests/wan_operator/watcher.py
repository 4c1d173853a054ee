"""Local mode with a scripted runner in the place of `wan_runner`, and a screen that remembers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from wan_core.api.status import Phase, Status

RUNNER = (sys.executable, str(Path(__file__).with_name("scripted_runner.py")))


class Watcher:
    """A screen that remembers, and may act once on a status."""

    def __init__(
        self, when: Callable[[Status], bool] = lambda _: False, act: Callable[[], None] = lambda: None
    ) -> None:
        self.seen: list[Status] = []
        self._when, self._act, self._done = when, act, False

    def show(self, status: Status) -> None:
        self.seen.append(status)
        if not self._done and self._when(status):
            self._done = True
            self._act()

    def note(self, text: str) -> None:
        pass

    @property
    def phases(self) -> list[Phase]:
        found = [status.phase for status in self.seen]
        return [phase for i, phase in enumerate(found) if i == 0 or found[i - 1] is not phase]
