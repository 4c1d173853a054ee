"""What a person sees of a resource: each phase once, a line each; a bar while it loads and denoises.

Where the output is no terminal there are plain lines only, and progress in steps of ten percent.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import takewhile
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from wan_core.api.status import (
    AttemptStatus,
    LoadStatus,
    Phase,
    ProgressStatus,
    RungStatus,
    Status,
    Verdict,
)
from wan_core.api.words import printable
from wan_core.load_bar import words_of
from wan_core.phases import BYTES, LoadProgress
from wan_core.phases import Phase as LoadPhase

EVERY_PERCENT = 10  # on plain output


class ResourceScreen:
    """Follows one resource; owns the live bar, which there is on a terminal only, while this is entered."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase: Phase | None = None
        self._told: set[tuple[int, str]] = set()  # by attempt; of none: 0
        self._percent = -EVERY_PERCENT
        self._attempt = 0
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> ResourceScreen:
        if self._console.is_terminal:
            columns = (TextColumn("         {task.description}"), BarColumn())
            self._bar = Progress(
                *columns, TextColumn("{task.fields[pace]}"), console=self._console, transient=True
            )
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def show(self, status: Status) -> None:
        """Print what is new in this status."""
        for attempt in status.attempts:
            self._show_attempt(attempt)
        if status.phase is not self._phase:
            self._phase = status.phase
            failed = status.phase is Phase.FAILED  # whoever called this says the rest, on standard error
            self._line(status.phase.value, status.reason if failed else status.message)
            if status.phase is Phase.PLANNED and status.reason == "PlanChosen":
                self._show_better(status.ladder)
        self._show_warnings(0, status.warnings)
        if status.progress is not None and not status.phase.finished:
            self._show_progress(status.progress)

    def note(self, text: str) -> None:
        """Print a line that belongs to no phase."""
        self._print(" " * 9 + printable(text))

    def _show_attempt(self, attempt: AttemptStatus) -> None:
        if attempt.number > self._attempt:
            self._attempt, self._percent = attempt.number, -EVERY_PERCENT
        self._show_warnings(attempt.number, attempt.warnings)
        if attempt.outcome in ("Running", "Succeeded") or (attempt.number, attempt.outcome) in self._told:
            return
        self._told.add((attempt.number, attempt.outcome))
        why = f"{attempt.category}: {attempt.message}" if attempt.category else attempt.message
        self.note(f"attempt {attempt.number} ({attempt.plan}) {attempt.outcome.lower()}: {why}")

    def _show_warnings(self, attempt: int, texts: Sequence[str]) -> None:
        """Each once; `attempt` is 0 for those of the request."""
        for text in texts:
            if (attempt, text) not in self._told:
                self._told.add((attempt, text))
                self.note(f"attempt {attempt}: {text}" if attempt else f"warning: {text}")

    def _show_better(self, ladder: Sequence[RungStatus]) -> None:
        """Why each plan above the best that fits is not taken."""
        for rung in takewhile(lambda rung: rung.verdict is Verdict.NEVER, ladder):
            self.note(f"not {rung.plan}: {rung.reason}")

    def _show_progress(self, progress: ProgressStatus) -> None:
        """The bar; on plain output a line for each tenth, of loading first and then of denoising."""
        if self._bar is not None:
            self._move_bar(self._bar, progress)
            return
        if progress.percent < self._percent:  # from loading to denoising
            self._percent = -EVERY_PERCENT
        if counted(progress) and progress.percent >= self._percent + EVERY_PERCENT:
            self._percent = progress.percent
            self.note(tell_progress(progress))

    def _move_bar(self, bar: Progress, progress: ProgressStatus) -> None:
        if not counted(progress):
            if self._task is not None:
                bar.remove_task(self._task)
                self._task = None
            return
        if self._task is None:
            self._task = bar.add_task("", total=100, pace="")
        what = progress.load.phase if progress.load is not None else "step"
        bar.update(
            self._task, completed=progress.percent, description=what, pace=tell_progress(progress, bare=True)
        )

    def _line(self, word: str, message: str) -> None:
        self._print(f"{datetime.now().astimezone():%H:%M:%S} {word:<10} {printable(message)}".rstrip())

    def _print(self, text: str) -> None:
        console = self._bar.console if self._bar is not None else self._console
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def counted(progress: ProgressStatus) -> bool:
    """Whether there is a number worth showing: steps of denoising, or bytes of the model."""
    load = progress.load
    return progress.stage == "Denoising" or (load is not None and load.unit == BYTES and load.total > 0)


def tell_progress(progress: ProgressStatus, *, bare: bool = False) -> str:
    """`step 7 of 20, 0.42 s/step, ETA 12 s`, or `download 12.3 GiB of 69.1 GiB, 1.1 GiB/s, ETA 47 s`; `bare`:
    without the first word.
    """
    left_s = max((progress.eta - datetime.now(UTC)).total_seconds(), 0) if progress.eta is not None else None
    if progress.load is not None:
        word, text = progress.load.phase, words_of(load_progress(progress, progress.load, left_s))
    else:
        pace = f", {progress.seconds_per_step:.2f} s/step" if progress.seconds_per_step is not None else ""
        eta = f", ETA {left_s:.0f} s" if left_s is not None else ""
        word, text = "step", f"{progress.step} of {progress.steps}{pace}{eta}"
    return text if bare else f"{word} {text}"


def load_progress(progress: ProgressStatus, load: LoadStatus, eta_s: float | None) -> LoadProgress:
    """What a meter told, out of the status."""
    return LoadProgress(
        phase=LoadPhase(load.phase),
        done=load.done,
        total=load.total,
        unit=load.unit,
        percent=progress.percent,
        rate=load.rate,
        eta_s=eta_s,
        rss_bytes=load.rss_bytes,
        cgroup_bytes=load.cgroup_bytes,
        device_bytes=load.vram_bytes,
    )
