"""The loading of a model as a person sees it: a bar on a terminal, elsewhere a line for every tenth of it.

Light, for every command that loads something. What is shown is told by a `wan_core.phases.Meter`:

    with LoadBar(Console(stderr=True)) as bar, store.fetch(uri, cache, cancel, Meter(bar.show).tell) as model:
        ...
"""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from wan_core.api.words import words_of_bytes, words_of_load
from wan_core.phases import BYTES, LoadProgress

EVERY_PERCENT = 10  # on plain output


class LoadBar:
    """Owns the live bar, which there is on a terminal only, while this is entered."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._percent = 0.0

    def __enter__(self) -> LoadBar:
        if self._console.is_terminal:
            columns = (TextColumn("{task.description:<14}"), BarColumn(), TextColumn("{task.fields[words]}"))
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def show(self, at: LoadProgress) -> None:
        """How far it is; for `Meter`."""
        if self._bar is not None:
            if self._task is None:
                self._task = self._bar.add_task("", total=100, words="")
            self._bar.update(self._task, completed=at.percent, description=at.phase.value, words=words_of(at))
        elif at.total and at.unit == BYTES and at.percent >= self._percent + EVERY_PERCENT:
            self._percent = at.percent
            text = f"{at.percent:.0f} %  {at.phase.value}: {words_of(at)}"
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def words_of(at: LoadProgress) -> str:
    """`12.3 GiB of 69.1 GiB, 1.1 GiB/s, ETA 47 s, memory 3.1 GiB, GPU 12.0 GiB`, as far as it is known."""
    amount = words_of_load(at.done, at.total, at.unit, at.rate)
    eta = f"ETA {at.eta_s:.0f} s" if at.eta_s is not None else ""
    memory = f"memory {words_of_bytes(at.rss_bytes)}" if at.rss_bytes is not None else ""
    device = f"GPU {words_of_bytes(at.device_bytes)}" if at.device_bytes is not None else ""
    return ", ".join(part for part in (amount, eta, memory, device) if part)
