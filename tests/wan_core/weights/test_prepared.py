"""What was derived once is there again, to the last bit; what is not sound is made anew."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_core.weights.test_prepared_folder import FORK, run_and_kill
from wan_core.weights import prepared
from wan_core.weights.prepared import Found, Prepared, is_sound, pack, unpack
from wan_core.weights.prepared_folder import Counts, read_counts

KEY = {"what": "a test", "text": "a red circle"}
ROOM = 2**20
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.uint8)


def made(number: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(number)
    return {"states": torch.randn(3, 5, generator=generator).bfloat16(), "tokens": torch.tensor(number)}


def never() -> dict[str, torch.Tensor]:
    raise AssertionError("made, and it was there")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """To the last bit, what is no number included."""
    as_told = all(
        one[name].dtype == other[name].dtype and one[name].shape == other[name].shape for name in one
    )
    bits = (
        bytes(one[name].contiguous().view(-1).view(torch.uint8).tolist())
        == bytes(other[name].contiguous().view(-1).view(torch.uint8).tolist())
        for name in one
    )
    return one.keys() == other.keys() and as_told and all(bits)


@st.composite
def tensors(draw: Any) -> torch.Tensor:
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    size = torch.Size(shape).numel() * dtype.itemsize
    data = draw(st.binary(min_size=size, max_size=size))
    if not data:
        return torch.zeros(shape, dtype=dtype)
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).view(dtype).reshape(shape)


VALUES = st.dictionaries(
    st.text(min_size=1).filter(lambda name: name != "__metadata__"), tensors(), max_size=4
)


@given(VALUES, st.floats(0, 1e6), st.floats(0, 1e6))
def test_what_is_packed_is_unpacked(value: dict[str, torch.Tensor], make_s: float, setup_s: float) -> None:
    data = b"".join(pack(Found(value, make_s, setup_s)))
    assert is_sound(data)
    found = unpack(data)
    assert same(found.tensors, value)
    assert (found.make_s, found.setup_s) == (round(make_s, 3), round(setup_s, 3))


@given(st.data())
def test_no_damage_goes_unseen(data: Any) -> None:
    whole = b"".join(pack(Found(made(), 1.0, 2.0)))
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[at] ^= data.draw(st.integers(1, 255))
    assert not is_sound(bytes(flipped))
    assert not is_sound(whole[:at])
    assert not is_sound(whole + whole[:at] + b"\0")


def test_what_was_made_is_found_by_another_process(tmp_path: Path) -> None:
    first, second = Prepared(tmp_path, ROOM), Prepared(tmp_path, ROOM)
    assert first.find(KEY) is None
    assert same(first.get_or_make(KEY, made).tensors, made())
    found = second.get_or_make(dict(reversed(KEY.items())), never, setup_s=9.0)
    assert same(found.tensors, made())
    assert found.setup_s == 0.0
    assert second.find({**KEY, "text": "a blue circle"}) is None


def test_tensors_that_are_read_lie_as_torchs_own(tmp_path: Path) -> None:
    Prepared(tmp_path, ROOM).get_or_make(KEY, made)
    found = Prepared(tmp_path, ROOM).find(KEY)
    assert found is not None
    assert all(tensor.data_ptr() % 64 == 0 for tensor in found.tensors.values())


def test_hits_misses_bytes_and_seconds_are_counted(tmp_path: Path) -> None:
    first, second = Prepared(tmp_path, ROOM), Prepared(tmp_path, ROOM)
    first.get_or_make(KEY, made, setup_s=5.0)
    (size,) = (path.stat().st_size for path in tmp_path.iterdir() if len(path.name) == 64)
    assert first.counts == Counts(misses=1, bytes_stored=size)
    second.find(KEY)
    second.find({})
    second.spared(5.0)
    assert (second.counts.hits, second.counts.misses, second.counts.bytes_read) == (1, 0, size)
    assert second.counts.seconds_saved >= 5.0
    assert read_counts(tmp_path) == first.counts + second.counts


def test_a_hit_saves_what_making_took_less_what_reading_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 0.0, 10.0, 110.0, 200.0, 201.0])
    monkeypatch.setattr(prepared, "monotonic", lambda: next(clock))
    Prepared(tmp_path, ROOM).get_or_make(KEY, made)
    second = Prepared(tmp_path, ROOM)
    second.find(KEY)
    assert second.counts.seconds_saved == 99.0


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "a bit": lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:],
    "cut": lambda data: data[:-1],
    "empty": lambda data: b"",
    "zeros": lambda data: bytes(len(data)),
    "another's": lambda data: b"PK\x03\x04" * 100,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_value_is_made_again(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Prepared(tmp_path, ROOM).get_or_make(KEY, made)
    (path,) = (path for path in tmp_path.iterdir() if len(path.name) == 64)
    path.write_bytes(DAMAGE[name](path.read_bytes()))
    assert Prepared(tmp_path, ROOM).find(KEY) is None
    assert not path.exists()
    assert "damaged" in caplog.text
    assert same(Prepared(tmp_path, ROOM).get_or_make(KEY, made).tensors, made())
    assert Prepared(tmp_path, ROOM).get_or_make(KEY, never)


def test_turned_off_it_leaves_no_trace(tmp_path: Path) -> None:
    off = Prepared(tmp_path / "prepared", 0)
    assert off.find(KEY) is None
    assert same(off.get_or_make(KEY, made).tensors, made())
    assert not (tmp_path / "prepared").exists()


def test_the_longest_unused_makes_way(tmp_path: Path) -> None:
    (path,) = stored_by(tmp_path, 0)
    room = 3 * path.stat().st_size + 100  # how long it took is written in more or fewer digits
    for number in range(3):
        Prepared(tmp_path, room).get_or_make({"number": number}, made)
    for number, path in enumerate(sorted(tmp_path.glob("?" * 64), key=lambda path: path.stat().st_mtime_ns)):
        os.utime(path, (number, number))
    assert Prepared(tmp_path, room).find({"number": 0})  # used now
    Prepared(tmp_path, room).get_or_make({"number": 3}, made)
    there = [number for number in range(4) if Prepared(tmp_path, room).find({"number": number})]
    assert there == [0, 2, 3]


def stored_by(root: Path, number: int) -> list[Path]:
    Prepared(root, ROOM).get_or_make({"number": number}, made)
    return list(root.glob("?" * 64))


def test_a_value_larger_than_the_limit_is_used_and_not_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small = Prepared(tmp_path, 100)
    assert same(small.get_or_make(KEY, made).tensors, made())
    assert "is not kept: at most 100" in caplog.text
    assert list(tmp_path.glob("?" * 64)) == []
    assert small.counts == Counts(misses=1)


@contextmanager
def small_files(nbytes: int) -> Iterator[None]:
    """No file may become larger: the kernel says so as it says that a disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_costs_the_entry_not_the_value(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    large = {"states": torch.zeros(2**16)}
    with small_files(2**16):
        found = Prepared(tmp_path, ROOM).get_or_make(KEY, lambda: large)
    assert same(found.tensors, large)
    assert "is used, but not kept" in caplog.text
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("counters")] == []


def test_a_folder_that_cannot_be_costs_the_entry_not_the_value(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "prepared").touch()
    found = Prepared(tmp_path / "prepared", ROOM).get_or_make(KEY, made)
    assert same(found.tensors, made())
    assert "is used, but not kept" in caplog.text


def test_processes_at_once_make_it_once(tmp_path: Path) -> None:
    barrier, tally = FORK.Barrier(4), tmp_path / "tally"

    def make() -> dict[str, torch.Tensor]:
        with tally.open("a") as file:
            file.write("made\n")
        return made()

    def ask() -> None:
        barrier.wait(60)
        assert same(Prepared(tmp_path / "prepared", ROOM).get_or_make(KEY, make).tensors, made())

    processes = [FORK.Process(target=ask) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert tally.read_text() == "made\n"
    counts = read_counts(tmp_path / "prepared")
    assert (counts.hits, counts.misses) == (3, 1)


def test_where_the_maker_dies_another_makes_it(tmp_path: Path) -> None:
    def make_and_die(die: Callable[[], None]) -> None:
        def make() -> dict[str, torch.Tensor]:
            die()
            return made()

        Prepared(tmp_path, ROOM).get_or_make(KEY, make)

    run_and_kill(make_and_die)
    assert same(Prepared(tmp_path, ROOM).get_or_make(KEY, made).tensors, made())
    assert list(tmp_path.glob("*.claim")) == []


def test_what_the_dead_left_goes_when_something_is_stored(tmp_path: Path) -> None:
    left = [tmp_path / "tmpabc.draft", tmp_path / f"{'0' * 64}.claim"]
    for path in left:
        path.touch()
    Prepared(tmp_path, ROOM).get_or_make(KEY, made)
    assert [path for path in left if path.exists()] == []


def test_a_maker_that_fails_fails_and_the_next_one_makes_it(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="it was there"):
        Prepared(tmp_path, ROOM).get_or_make(KEY, never)
    assert same(Prepared(tmp_path, ROOM).get_or_make(KEY, made).tensors, made())


def test_readers_see_the_whole_value_or_none(tmp_path: Path) -> None:
    done, seen = threading.Event(), []

    def read() -> None:
        while not done.is_set():
            found = Prepared(tmp_path, ROOM).find(KEY)
            seen.append(found is None or same(found.tensors, made()))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(50):
        Prepared(tmp_path, ROOM).get_or_make(KEY, made)
        for path in tmp_path.glob("?" * 64):
            path.unlink()
    done.set()
    for reader in readers:
        reader.join()
    assert seen
    assert all(seen)
