"""Attempts as processes of this machine, in the place of Jobs.

Each runs in a session of its own, so that it is signalled as a group and a terminal's Ctrl-C reaches it only
through us. Its files lie in a private folder that DeleteAttempt removes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from wan_core.cgroups import read_oom_kills
from wan_core.errors import TABLE, Category, WanError
from wan_core.task import Result, Task
from wan_operator.machine import node_name
from wan_operator.world import AttemptState, Observed

GRACE_S = 30.0  # between SIGTERM and SIGKILL, as in Kubernetes: a runner may need 20 s to abort an upload


@dataclass(frozen=True)
class Launch:
    """How runners are started: the command in front of `run`, where caches and logs go, how to wake the loop.
    `reference`: stock diffusers makes the video.

    Tests put a scripted runner in place of `command`.
    """

    command: Sequence[str]
    scratch: Path
    log: Path
    cache: Path | None
    wake: Callable[[], None]
    grace_s: float = GRACE_S
    reference: bool = False


@dataclass
class AttemptProcess:
    """One attempt: Pending until it is given an environment, then a process, then what is left of one."""

    job: str
    task: Task
    token: str
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    started: datetime | None = None
    finished: datetime | None = None
    ended: bool = False
    kill_at: float | None = None
    killed_by_us: bool = False
    oom_kills_before: int | None = None
    oom_killed: bool = False
    result: Result | None = None

    @property
    def stopping(self) -> bool:
        return self.kill_at is not None

    def launch(self, how: Launch, environment: Mapping[str, str]) -> None:
        """Write the Task and start the runner on it."""
        self.folder.mkdir(mode=0o700)
        _write_private(self.folder / "task.json", json.dumps(self.task.to_dict()))
        _write_private(self.folder / "token", self.token)
        arguments = ["run", "--task", self.folder / "task.json", "--result", self.folder / "result.json"]
        arguments += ["--report-token-file", self.folder / "token"]
        arguments += ["--cache", how.cache] if how.cache is not None else []
        arguments += ["--reference"] if how.reference else []
        self.oom_kills_before = read_oom_kills()
        with how.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*how.command, *map(str, arguments)],
                env={**environment, "TMPDIR": str(self.folder)},  # so that a killed runner leaves nothing
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started = datetime.now(UTC)
        threading.Thread(target=self._await_end, args=(self.process, how.wake), daemon=True).start()

    def fail(self, error: WanError) -> None:
        """End it before it has a process: what it needs cannot be had."""
        self.ended, self.finished = True, datetime.now(UTC)
        self.result = Result(
            uid=self.task.uid,
            attempt=self.task.attempt,
            task_digest=self.task.digest(),
            category=error.category,
            message=error.message,
            advice=error.advice,
        )

    def stop(self, grace_s: float) -> None:
        """SIGTERM now, SIGKILL after the grace period."""
        self.kill_at = time.monotonic() + grace_s
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL now; the attempt counts as stopped by us."""
        self.kill_at = self.kill_at or time.monotonic()
        self.killed_by_us = True
        self._signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def advance(self) -> None:
        """What time or the process's end brings about: the kill after the grace period, the Result."""
        if self.ended:
            return
        if self.process is None:
            self.ended = self.stopping
        elif self.process.poll() is not None:
            self.ended, self.finished = True, datetime.now(UTC)
            self.result = read_result(self.folder / "result.json")
            killed = self.process.returncode == -signal.SIGKILL and not self.killed_by_us
            self.oom_killed = killed and self._oom_killed()
        elif self.kill_at is not None and time.monotonic() >= self.kill_at:
            self.kill()

    def observe(self) -> Observed:
        """The attempt as `decide` sees it."""
        code = self.process.poll() if self.process is not None and self.ended else None
        if self.process is None and self.result is not None and self.result.category is not None:
            code = TABLE[self.result.category].exit_code
        waits = self.process is None and not self.ended
        never_ran = self.process is None and self.ended and self.result is None
        runs = AttemptState.PENDING if waits else AttemptState.RUNNING
        return Observed(
            number=self.task.attempt,
            job=self.job,
            state=AttemptState.ENDED if self.ended else runs,
            plans=tuple(rung.plan.label for rung in self.task.rungs),
            task_digest=self.task.digest(),
            node=node_name(),
            started=self.started,
            finished=self.finished,
            waiting=("StartingStorage", "the embedded S3 server is starting") if waits else None,
            exit_code=None if code is None else code if code >= 0 else 128 - code,
            oom_killed=self.oom_killed,
            verdict=Category.INTERRUPTED if never_ran else None,
            stopping=self.stopping,
            result=self.result,
        )

    def delete(self) -> None:
        """Remove the attempt's files."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _oom_killed(self) -> bool:
        after = read_oom_kills()
        before = self.oom_kills_before
        return before is not None and after is not None and after > before

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it ended between the two calls
                os.killpg(self.process.pid, number)

    @staticmethod
    def _await_end(process: subprocess.Popen[bytes], wake: Callable[[], None]) -> None:
        process.wait()
        wake()


def read_result(path: Path) -> Result | None:
    """The Result that a runner left; None if it left none that can be read."""
    try:
        return Result.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
