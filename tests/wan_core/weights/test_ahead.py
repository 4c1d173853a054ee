"""What comes next is asked of the disk, in order, and never more than may lie ahead of what was read."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from wan_core.weights import ahead
from wan_core.weights.ahead import ReadAhead

STEP, ASK = 1000, 500
pytestmark = pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this kernel cannot be asked")


class Asked:
    """The kernel's place: what it is asked for, as (file, begin); `until` waits for so many."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []
        self._more = threading.Condition()

    def __call__(self, descriptor: int, begin: int, count: int, advice: int) -> None:
        assert (count, advice) == (ASK, os.POSIX_FADV_WILLNEED)
        with self._more:
            self.seen.append((Path(os.readlink(f"/proc/self/fd/{descriptor}")).name, begin))
            self._more.notify()

    def until(self, count: int) -> list[tuple[str, int]]:
        with self._more:
            assert self._more.wait_for(lambda: len(self.seen) >= count, timeout=60)
            return self.seen


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    kernel = Asked()
    monkeypatch.setattr(os, "posix_fadvise", kernel)
    monkeypatch.setattr(ahead, "STEP_BYTES", STEP)
    monkeypatch.setattr(ahead, "ASK_BYTES", ASK)
    return kernel


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Of 2500 bytes, none and 1000."""
    for name, size in (("a", 2500), ("b", 0), ("c", 1000)):
        (tmp_path / name).write_bytes(bytes(size))
    return [tmp_path / name for name in "abc"]


def test_what_may_lie_ahead_is_asked_for_across_files(asked: Asked, files: list[Path]) -> None:
    with ReadAhead(files, 10_000):
        assert asked.until(7) == [*(("a", at) for at in range(0, 2500, ASK)), ("c", 0), ("c", 500)]


def test_the_rest_is_asked_for_as_reading_goes_on(asked: Asked, files: list[Path]) -> None:
    with ReadAhead(files, 1500) as reading:
        assert asked.until(2) == [("a", 0), ("a", 500)]
        reading.reached(600)
        assert asked.until(4)[2:] == [("a", 1000), ("a", 1500)]
        reading.reached(2000)
        assert asked.until(7)[4:] == [("a", 2000), ("c", 0), ("c", 500)]


def test_what_was_read_already_is_not_asked_for(asked: Asked, files: list[Path]) -> None:
    reading = ReadAhead(files, 10_000)
    reading.reached(2000)
    with reading:
        assert asked.until(3) == [("a", 2000), ("c", 0), ("c", 500)]


@pytest.mark.parametrize("ahead_bytes", [0, STEP - 1])
def test_without_room_nothing_is_asked_for(asked: Asked, files: list[Path], ahead_bytes: int) -> None:
    before = threading.active_count()
    with ReadAhead(files, ahead_bytes) as reading:
        reading.reached(3000)
        assert threading.active_count() == before
    assert asked.seen == []


def refuse(*_: int) -> None:
    raise OSError("not supported")


@pytest.mark.parametrize("kernel", [None, refuse], ids=["a file is gone", "the file system refuses"])
def test_what_cannot_be_asked_for_is_left_to_whoever_reads(
    asked: Asked, files: list[Path], monkeypatch: pytest.MonkeyPatch, kernel: Callable[..., None] | None
) -> None:
    if kernel is None:
        files[0].unlink()
    else:
        monkeypatch.setattr(os, "posix_fadvise", kernel)
    with ReadAhead(files, 10_000) as reading:
        reading.reached(100)
    assert asked.seen == []


def test_leaving_ends_the_thread_while_it_waits(asked: Asked, files: list[Path]) -> None:
    before = set(threading.enumerate())
    with ReadAhead(files, STEP):
        asked.until(1)
    assert set(threading.enumerate()) == before
