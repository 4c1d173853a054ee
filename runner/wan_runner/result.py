"""What is known of an attempt so far, and the one Result that it ends with."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wan_core.api.status import WARNINGS_MAX, OutputStatus
from wan_core.api.words import first_of
from wan_core.errors import InternalError, WanError
from wan_core.phases import LoadProgress
from wan_core.task import LoadReport, Progress, Result, Stage, Task

ETA_WINDOW = 10  # steps that the rate is the mean of: steady, yet soon right again after a stall
ETA_MAX_S = 1e7  # four months: whoever has waited so long knows
WARNING_MAX = 256  # characters


class Record:
    """Collects what Progress, Result and manifest tell. Written by the main thread, read by the signal
    thread too.
    """

    def __init__(self, task: Task) -> None:
        self.uid, self.attempt, self.task_digest = task.uid, task.attempt, task.digest()
        self.namespace = task.namespace
        self.stage = Stage.STARTING
        self.seconds: dict[str, float] = {}
        self.phases: dict[str, float] = {}  # of loading, in seconds
        self.known: dict[str, Any] = {}  # for Result and manifest, as it becomes known
        self._entered = time.monotonic()
        self._step_times: list[float] = []

    @contextmanager
    def enter(self, stage: Stage) -> Iterator[None]:
        """Time a stage."""
        self.stage, self._entered = stage, time.monotonic()
        try:
            yield
        finally:
            self._book()

    def _book(self) -> None:
        now = time.monotonic()
        self.seconds[self.stage] = round(self.seconds.get(self.stage, 0.0) + now - self._entered, 3)
        self._entered = now

    def step_done(self) -> None:
        """A denoising step has ended, or (the first call) the first one begins."""
        self._step_times.append(time.monotonic())

    @property
    def seconds_per_step(self) -> float | None:
        """Mean of the last `ETA_WINDOW` steps."""
        times = self._step_times[-ETA_WINDOW - 1 :]
        return round((times[-1] - times[0]) / (len(times) - 1), 4) if len(times) > 1 else None

    @property
    def mean_seconds_per_step(self) -> float | None:
        """Mean of all steps but the first, which warms up; of all if there is only one."""
        times = self._step_times[1:] if len(self._step_times) > 2 else self._step_times
        return round((times[-1] - times[0]) / (len(times) - 1), 4) if len(times) > 1 else None

    def progress(self, done: int, total: int, load: LoadProgress | None = None) -> Progress:
        """A report of now; the time left is told while loading and while denoising."""
        rate = self.seconds_per_step if self.stage is Stage.DENOISING else None
        eta_s = load.eta_s if load is not None else rate and rate * (total - done)
        return Progress(
            uid=self.uid,
            attempt=self.attempt,
            stage=self.stage,
            done=done,
            total=total,
            seconds_per_step=rate,
            eta_seconds=None if eta_s is None else round(min(eta_s, ETA_MAX_S), 1),
            plan=self.known.get("plan"),
            device=self.known.get("device"),
            refused=self.known.get("refused", ()),
            warnings=self.warnings,
            load=LoadReport.of(load) if load is not None else None,
            time=datetime.now(UTC),
        )

    def warn(self, *texts: str) -> None:
        """Keep what people should know of; each text once."""
        told = self.known.get("warnings", ())
        self.known["warnings"] = tuple(dict.fromkeys((*told, *texts)))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What people should know of though nothing failed, as much of it as a Result has room for."""
        told = first_of(self.known.get("warnings", ()), WARNINGS_MAX, "warnings")
        return tuple(text[:WARNING_MAX] for text in told)

    def result(self, end: OutputStatus | WanError) -> Result:
        """The end of the attempt: a verified video, or what went wrong."""
        known = {name: value for name, value in self.known.items() if name in Result.model_fields}
        facts = {
            **known,
            "warnings": self.warnings,
            "seconds": dict(self.seconds),
            "phases": self.phases,
            "seconds_per_step": self.mean_seconds_per_step,
        }
        if isinstance(end, OutputStatus):
            facts["output"] = end
        else:
            facts |= {"category": end.category, "message": end.message, "advice": end.advice}
        return Result(uid=self.uid, attempt=self.attempt, task_digest=self.task_digest, **facts)


class Ending:
    """Writes one Result, whoever comes first: the main thread or the signal thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._settled = False

    def settle(self, result: Result) -> bool:
        """Write `result` unless one was written; says whether this one was."""
        with self._lock:
            if self._settled:
                return False
            write_result(result, self._path)
            self._settled = True
            return True


def write_result(result: Result, path: Path) -> None:
    """Write at most 4,096 bytes, atomically; plainly where the path is a device or a mounted file.

    Kubernetes mounts /dev/termination-log as a single file, which cannot be replaced.
    """
    text = result.to_message()
    try:
        if path.parent == Path("/dev") or path.is_mount() or (path.exists() and not path.is_file()):
            path.write_text(text)
            return
        part = path.with_name(f".{path.name}.{os.getpid()}")
        part.write_text(text)
        part.replace(path)
    except OSError as error:
        raise InternalError(f"the result could not be written to {path}: {error}") from error
