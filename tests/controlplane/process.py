"""A child process that never outlives the tests, who owns some of them, and ports that nothing else holds."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

# Below the range from which Linux takes the ports of outgoing connections, so none is taken meanwhile. Tests
# that run beside us have others: before its program is up, and while it is down, a port looks free.
_PORTS = range(20000, 32000)
_WORKERS = 8
_given: set[int] = set()

# Reads until the writing end of its pipe closes, which happens when this process ends in any way at all.
_GUARD = 'read _; kill -s KILL -- "-$0" 2>/dev/null'


Value = TypeVar("Value")


class NotReady(AssertionError):
    """A condition did not come true in time."""


class Process:
    """A program in its own process group, its output in a file."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None):
        self.command, self.log, self.environment = tuple(command), log, environment
        self._child: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        assert self._child is not None, "not started"
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        return None if self._child is None else self._child.poll()

    def start(self) -> None:
        assert not self.alive, f"{self.command[0]} runs already"
        with self.log.open("ab") as out:
            self._child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=None if self.environment is None else dict(self.environment),
                start_new_session=True,
            )
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, str(self._child.pid)], stdin=subprocess.PIPE, start_new_session=True
        )

    def signal(self, number: signal.Signals) -> None:
        """To the whole group; nothing where it has ended."""
        if self.alive:
            os.killpg(self.pid, number)

    def stop(self, grace_s: float = 15) -> int:
        """SIGTERM, and SIGKILL after `grace_s`. Returns the exit code."""
        self.signal(signal.SIGTERM)
        return self._end(grace_s)

    def kill(self) -> int:
        """SIGKILL. Returns the exit code."""
        return self._end(0)

    def _end(self, grace_s: float) -> int:
        assert self._child is not None, "not started"
        assert self._guard is not None
        try:
            code = self._child.wait(grace_s) if grace_s else None
        except subprocess.TimeoutExpired:
            code = None
        self._guard.kill()
        self._guard.communicate()
        if code is None:
            self.signal(signal.SIGKILL)
            code = self._child.wait()
        return code

    def tail(self, size: int = 3000) -> str:
        return self.log.read_bytes()[-size:].decode(errors="replace") if self.log.exists() else ""


class Owner(ABC):
    """Opens on `with`; closes on leaving, or where it could not be opened whole."""

    @abstractmethod
    def open(self) -> None: ...

    @abstractmethod
    def close(self) -> None:
        """Also what was opened in part."""

    def __enter__(self) -> Self:
        try:
            self.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def wait_until(
    condition: Callable[[], Value | None], timeout_s: float, told: str, poll_s: float = 0.1
) -> Value:
    """The first true value of `condition`. Raises NotReady with `told` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise NotReady(f"after {timeout_s:g} s: {told}")
        time.sleep(poll_s)


def free_port() -> int:
    """A port on 127.0.0.1 that nothing listens on now, and that was not given before."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
    while True:
        port = random.choice(_PORTS[worker::_WORKERS])
        if port in _given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
