"""A container as a process group: what it is given, how it is started, stopped and what became of it.

Not covered: users, capabilities, a file system of its own. Leftover children end with their container.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.controlplane.kubelet_api import Document
from tests.controlplane.kubelet_memory import Limit, NoLimit
from tests.controlplane.kubelet_status import cut_message
from tests.controlplane.kubelet_volumes import Paths

CLEAN_S = 0.05  # until what a process used is looked at again
FALLBACK_BYTES = 2048  # of the log, where a failed container left no message and asks for it


class NotStarted(Exception):
    """The command cannot be run; the text is what the status says."""


@dataclass(frozen=True)
class Image:
    """What stands for a container image: its ENTRYPOINT and its ENV."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Launch:
    """Everything a process starts with."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    message: Path
    groups: Path  # a file for each process group that runs: named by its number, in it its control group
    limit: Limit = field(default_factory=NoLimit)


def build_command(
    container: Document, image: Image, environment: Mapping[str, str], paths: Paths
) -> tuple[str, ...]:
    """ENTRYPOINT and args as Kubernetes combines them, $(NAME) expanded, paths those of the host."""
    given = [*container.get("command", ()), *container.get("args", ())]
    start = () if "command" in container else image.command
    return (*start, *(paths.translate(expand(text, environment)) for text in given))


def expand(text: str, environment: Mapping[str, str]) -> str:
    """$(NAME) replaced where NAME is known; $$ stands for $."""

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return environment.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([A-Za-z_.-][\w.-]*)\)", replace, text)


class Process:
    """A running process group. To be made within an event loop; `code` is set once it has ended."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.code: int | None = None
        self.oom_killed = False
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._popen = _start(launch)
        self._marker = launch.groups / str(self.pid)
        self._marker.write_text(f"{launch.limit.folder}\n")
        threading.Thread(target=self._wait, name=f"wait {self.pid}", daemon=True).start()
        self._guard = self._loop.create_task(launch.limit.guard(self.pid))

    @property
    def pid(self) -> int:
        return self._popen.pid

    def _wait(self) -> None:
        code = self._popen.wait()
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
            self._loop.call_soon_threadsafe(self._end, code)

    def _end(self, code: int) -> None:
        self.signal(signal.SIGKILL)  # what it left behind
        self.code = code if code >= 0 else 128 - code
        self.oom_killed = self.code == 137 and self.launch.limit.exceeded()
        self._guard.cancel()
        self._clean()
        self._ended.set()

    def _clean(self) -> None:
        if self.launch.limit.close():
            self._marker.unlink()
        else:
            self._loop.call_later(CLEAN_S, self._clean)

    async def wait(self) -> int:
        """The exit code as a shell sees it: 128+n for signal n."""
        await self._ended.wait()
        assert self.code is not None
        return self.code

    def signal(self, number: int) -> None:
        """Send a signal to the whole group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def stop(self, grace_s: float) -> int:
        """SIGTERM, and SIGKILL to what is left after the grace period."""
        self.signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):  # wait_for would swallow a cancellation (Python 3.11)
                return await self.wait()
        self.signal(signal.SIGKILL)
        return await self.wait()

    def read_message(self, policy: str) -> str:
        """The termination message."""
        message = cut_message(self.launch.message.read_bytes()) if self.launch.message.exists() else ""
        if not message and self.code and policy == "FallbackToLogsOnError":
            return cut_message(self.launch.log.read_bytes()[-FALLBACK_BYTES:])
        return message


def _start(launch: Launch) -> subprocess.Popen[bytes]:
    program = launch.command[0] if launch.command else ""
    path = launch.environment.get("PATH")
    if shutil.which(program, path=path) is None:
        raise NotStarted(f'exec: "{program}": executable file not found in $PATH')
    with launch.log.open("ab") as log:
        return subprocess.Popen(
            launch.limit.wrap(launch.command),
            env=dict(launch.environment),
            cwd=launch.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def find_group(pid: int) -> list[int]:
    """The living processes of a group."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getpgid(process.pid) == pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return sorted(found)
