"""What every stage needs: to be timed, to report, and to stop when told."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from wan_core.cgroups import read_used
from wan_core.errors import Interrupted
from wan_core.phases import Gauges, LoadProgress, Meter, Tell, stopping
from wan_core.task import Stage
from wan_runner.devices import read_device_use, read_rss
from wan_runner.interrupt import GRACE_S, Interruption
from wan_runner.report import Reporter
from wan_runner.result import Record

LOADING = (Stage.STARTING, Stage.FETCHING, Stage.LOADING)

log = logging.getLogger(__name__)


class Watch:
    """One attempt's record, reporter and interruption, as the stages use them."""

    def __init__(self, record: Record, reporter: Reporter, interruption: Interruption) -> None:
        self.record = record
        self.interruption = interruption
        self._reporter = reporter
        self._meter = Meter(self._show, gauges=Gauges(read_rss, read_used, read_device_use))
        self.tell_load: Tell = self._meter.tell
        """Tells how far loading is, and only that: for the store."""
        self.load: Tell = stopping(self.tell_load, interruption.requested)
        """Tells how far loading is; raises Interrupted after a signal."""

    @contextmanager
    def stage(self, stage: Stage, total: int = 0, grace_s: float = GRACE_S) -> Iterator[None]:
        """Run a stage; Interrupted instead of beginning one after a signal."""
        self.check()
        if stage not in self.record.seconds:
            log.info("%s", stage.value)
        with self.record.enter(stage), self.interruption.grace(grace_s):
            self.report(0, total)
            yield

    def report(self, done: int, total: int) -> None:
        """Tell how far the stage is; raises Interrupted after a signal."""
        self.check()
        self.tell(done, total)

    def tell(self, done: int, total: int) -> None:
        """Tell only: for the store, which is given `requested` and cleans up after itself. In the stages of
        loading what counts is what `load` was told.
        """
        if self.record.stage in LOADING:
            self._show(self._meter.read())
        else:
            self._reporter.send(self.record.progress(done, total))

    @property
    def loaded(self) -> LoadProgress:
        """How far loading is."""
        return self._meter.read()

    def check(self) -> None:
        """Raises Interrupted after a signal."""
        if self.interruption.requested.is_set():
            raise Interrupted(f"told to stop while {self.record.stage}")

    def _show(self, at: LoadProgress) -> None:
        self.record.phases = {phase.value: round(s, 3) for phase, s in self._meter.seconds.items()}
        self._reporter.send(self.record.progress(at.done, at.total, at))
