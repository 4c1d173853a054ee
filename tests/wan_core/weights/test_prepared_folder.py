"""Values as files: whole or not at all, within a limit, and clean after whoever died."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_core.errors import InvalidInput
from wan_core.weights.prepared_folder import (
    COUNTERS,
    Counts,
    add_counts,
    claimed,
    clear,
    digest_of,
    entries,
    evict,
    read_counts,
    read_max_bytes,
    sweep,
    write_value,
)

FORK = multiprocessing.get_context("fork")  # tests of what processes do to each other: no import again


def nothing() -> None:
    pass


def value(root: Path, number: int, nbytes: int = 10, used: float | None = None) -> Path:
    path = root / digest_of({"number": number})
    write_value(root, path.name, [b"x" * nbytes])
    if used is not None:
        os.utime(path, (used, used))
    return path


def run_and_kill(body: Callable[[Callable[[], None]], None]) -> None:
    """`body` in a process of its own, which is killed, as by SIGKILL, where it calls its argument."""

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    process = FORK.Process(target=body, args=(die,))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        (None, 2 * 2**30),
        ("", 2 * 2**30),
        ("0", 0),
        ("500", 500),
        ("1.5Gi", 3 * 2**29),
        ("20M", 20_000_000),
        (" 4Ki ", 4096),
    ],
)
def test_the_limit_is_a_quantity(text: str | None, nbytes: int) -> None:
    assert read_max_bytes({} if text is None else {"WAN_PREPARED_MAX_BYTES": text}) == nbytes


@pytest.mark.parametrize("text", ["much", "-1", "1e9", "nan", "2 GiB", "1" * 40, "٣"])
def test_a_limit_that_is_none_is_told(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^WAN_PREPARED_MAX_BYTES: .* is not a number of bytes such as"):
        read_max_bytes({"WAN_PREPARED_MAX_BYTES": text})


KEYS = st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers() | st.none(), max_size=4)


@given(KEYS)
def test_a_key_is_what_it_says_in_whatever_order(key: dict[str, Any]) -> None:
    assert digest_of(dict(reversed(key.items()))) == digest_of(key)
    assert digest_of({**key, "one": "more than that"}) != digest_of(key)


def test_half_a_surrogate_is_a_key_too() -> None:
    assert digest_of({"text": "\ud800"}) != digest_of({"text": "\udfff"})


def test_only_its_owner_may_read_a_value(tmp_path: Path) -> None:
    path = value(tmp_path / "prepared", 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_was_unused_for_longest_makes_way(tmp_path: Path) -> None:
    paths = [value(tmp_path, number, nbytes=10, used=100.0 - number) for number in range(4)]
    gone = evict(tmp_path, 25)
    assert [entry.path for entry in gone] == [paths[3], paths[2]]
    assert [entry.path for entry in entries(tmp_path)] == [paths[1], paths[0]]
    assert evict(tmp_path, 20) == []


def test_only_values_are_entries(tmp_path: Path) -> None:
    path = value(tmp_path, 1)
    add_counts(tmp_path, Counts(hits=1))
    (tmp_path / "notes.txt").write_text("not ours")
    (tmp_path / f"{path.name}.claim").touch()
    assert [entry.path for entry in entries(tmp_path)] == [path]
    evict(tmp_path, 0)
    assert (tmp_path / "notes.txt").exists()


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    root = tmp_path / "none"
    sweep(root)
    add_counts(root, Counts(hits=1))
    assert (entries(root), evict(root, 0), read_counts(root), clear(root)) == ([], [], Counts(), (0, 0))
    assert not root.exists()


def test_a_writer_that_dies_leaves_no_value_and_its_draft_is_swept(tmp_path: Path) -> None:
    name = digest_of({"number": 1})

    def write(die: Callable[[], None]) -> None:
        def blocks() -> Iterator[bytes]:
            yield b"x" * 2**20
            die()

        write_value(tmp_path, name, blocks())

    run_and_kill(write)
    assert entries(tmp_path) == []
    assert [path.suffix for path in tmp_path.iterdir()] == [".draft"]
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def blocks() -> Iterator[bytes]:
        yield b"x"
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        write_value(tmp_path, digest_of({}), blocks())
    assert list(tmp_path.iterdir()) == []


def test_who_dies_holds_no_claim(tmp_path: Path) -> None:
    name = digest_of({"number": 1})

    def claim(die: Callable[[], None]) -> None:
        with claimed(tmp_path, name, nothing):
            die()

    run_and_kill(claim)
    assert [path.suffix for path in tmp_path.iterdir()] == [".claim"]
    with claimed(tmp_path, name, lambda: None):
        assert [path.suffix for path in tmp_path.iterdir()] == [".claim"]
    assert list(tmp_path.iterdir()) == []


def test_what_lives_is_not_swept(tmp_path: Path) -> None:
    name = digest_of({"number": 1})

    def blocks() -> Iterator[bytes]:
        clear(tmp_path)  # as another process would
        yield b"x"

    with claimed(tmp_path, name, nothing):
        write_value(tmp_path, name, blocks())
        sweep(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {name, f"{name}.claim"}


def test_who_waits_can_be_told_to_stop(tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop() -> None:
        raise Stopped

    with claimed(tmp_path, "a" * 64, nothing):
        with pytest.raises(Stopped), claimed(tmp_path, "a" * 64, stop):
            pytest.fail("it was not waited for")
        with claimed(tmp_path, "b" * 64, nothing):
            pass  # another value is free


def test_who_is_stuck_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("wan_core.weights.prepared_folder.WAIT_S", 0.01)
    with claimed(tmp_path, "a" * 64, nothing), claimed(tmp_path, "a" * 64, nothing):
        assert "not waited for any longer" in caplog.text
        assert (tmp_path / f"{'a' * 64}.claim").exists()


def test_what_processes_count_adds_up(tmp_path: Path) -> None:
    def count() -> None:
        for _ in range(25):
            add_counts(tmp_path, Counts(hits=1, seconds_saved=0.5))

    processes = [FORK.Process(target=count) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert read_counts(tmp_path) == Counts(hits=100, seconds_saved=50.0)


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b"null", b'{"hits": 1}', b"\xff" * 10, b"[" * 100_000],
    ids=["empty", "cut", "a list", "null", "of another version", "not UTF-8", "deep"],
)
def test_counters_that_are_damaged_begin_anew(damage: bytes, tmp_path: Path) -> None:
    add_counts(tmp_path, Counts(hits=5))
    (tmp_path / COUNTERS).write_bytes(damage)
    assert read_counts(tmp_path) == Counts()
    add_counts(tmp_path, Counts(misses=1))
    assert read_counts(tmp_path) == Counts(misses=1)


@pytest.mark.parametrize("odd", ['"1"', "-1", "true", "null", "1e999", "[]"])
def test_counters_that_are_no_numbers_begin_anew(odd: str, tmp_path: Path) -> None:
    add_counts(tmp_path, Counts(hits=5))
    text = (tmp_path / COUNTERS).read_text()
    (tmp_path / COUNTERS).write_text(text.replace('"hits": 5', f'"hits": {odd}'))
    assert read_counts(tmp_path) == Counts()
