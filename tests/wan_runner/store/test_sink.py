"""Lines write to one file: each all of its bytes at its place, and one at a time."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from wan_runner.store.sink import Sink

LINES, EACH = 8, 1000


def test_all_of_it_is_written_however_little_the_kernel_takes_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, view, at: pwrite(file, view[:7], at))
    with (tmp_path / "blob").open("wb") as file:
        Sink(file.fileno(), EACH).write(memoryview(bytes(range(100))), 5)
    assert (tmp_path / "blob").read_bytes() == bytes(5) + bytes(range(100))


def test_nobody_writes_while_another_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite, inside, together = os.pwrite, threading.Semaphore(1), []

    def alone(file: int, view: memoryview, at: int) -> int:
        if not inside.acquire(blocking=False):
            together.append(at)
            return pwrite(file, view, at)
        try:
            return sum(pwrite(file, view[i : i + 1], at + i) for i in range(len(view)))
        finally:
            inside.release()

    monkeypatch.setattr(os, "pwrite", alone)
    with (tmp_path / "blob").open("wb") as file, ThreadPoolExecutor(LINES) as pool:
        sink, ready = Sink(file.fileno(), EACH), threading.Barrier(LINES)

        def work(line: int) -> None:
            ready.wait()
            sink.write(memoryview(bytes([line]) * EACH), line * EACH)

        list(pool.map(work, range(LINES)))
    assert together == []
    assert (tmp_path / "blob").read_bytes() == b"".join(bytes([line]) * EACH for line in range(LINES))


def test_blocks_are_claimed_and_hold_zeros_until_they_are_written(tmp_path: Path) -> None:
    with (tmp_path / "blob").open("wb") as file:
        sink = Sink(file.fileno(), EACH)
        sink.reserve(0, EACH)
        sink.write(memoryview(b"abc"), 10)
    assert (tmp_path / "blob").read_bytes() == bytes(10) + b"abc" + bytes(EACH - 13)
