"""A disk that is full at any moment: nothing partial is visible, the error is typed, and room mends it."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path

import pytest

from tests.wan_runner.store.caches import (
    Source,
    blob_of,
    model_of,
    never,
    open_roomy,
    silent,
    source_of,
    tensors_of,
)
from wan_core.errors import InsufficientDiskSpace
from wan_runner.store.blob import Blob
from wan_runner.store.cache import Cache
from wan_runner.store.download import Receipt
from wan_runner.store.fetch import kept
from wan_runner.store.ingest import Fill, Report

PAGE = 4096
FILES = {"model_index.json": b"{}", "t/w.safetensors": tensors_of(1), "t/v.safetensors": tensors_of(2)}
MODEL = model_of(FILES)
ENOUGH = 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small tmpfs of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    if sys.platform != "linux" or mount(place, 64, ENOUGH) != 0:
        pytest.skip("a tmpfs can be mounted only by root on Linux")
    yield place
    unmount(place)


def unmount(place: Path) -> None:
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def mount(place: Path, pages: int, files: int, *, again: bool = False) -> int:
    options = f"size={pages * PAGE},nr_inodes={files}" + (",remount" if again else "")
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    with suppress(FileNotFoundError):
        return subprocess.run(command, capture_output=True, check=False).returncode
    return 1


def try_to_fetch(root: Path) -> bool:
    """Whether it went well; else the error was typed, and nothing partial is visible."""
    with ExitStack() as stack, suppress(InsufficientDiskSpace):
        fetched = stack.enter_context(kept(open_roomy(root), MODEL, source_of(FILES), never(), silent))
        assert {name: (fetched.path / name).read_bytes() for name in FILES} == FILES
        return True
    for blob in root.glob("blobs/*"):
        assert blob.name == blob_of(blob.read_bytes()).name
    assert list(root.glob("models/*")) == []
    return False


@pytest.mark.parametrize("scarce", ["bytes", "files"])
def test_whatever_step_finds_the_disk_full_the_next_fetch_with_room_is_right(
    disk: Path, scarce: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From no room to enough, one page or file more each time; what is free is not known beforehand."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(2**40, 0, 2**40))  # type: ignore[attr-defined]
    outcomes = []
    for room in range(2, ENOUGH):
        unmount(disk)
        assert mount(disk, *((room, ENOUGH) if scarce == "bytes" else (ENOUGH, room))) == 0
        outcomes.append(try_to_fetch(disk / "cache"))
        assert mount(disk, ENOUGH, ENOUGH, again=True) == 0
        assert try_to_fetch(disk / "cache")
        if outcomes[-1]:
            break
    assert len(outcomes) > 8
    assert outcomes == [False] * (len(outcomes) - 1) + [True]


def test_a_disk_that_others_fill_while_it_is_fetched_makes_what_is_unused_go(disk: Path) -> None:
    """What was promised is gone; the model that nobody uses is evicted, and the fetch goes on."""
    cache = open_roomy(disk / "cache")
    old = {"w.safetensors": tensors_of(7)}
    with kept(cache, model_of(old), source_of(old), never(), silent):
        pass
    wanted = {"w.safetensors": tensors_of(8)}
    with kept(cache, model_of(wanted), Greedy(disk, tensors_of(8)), never(), silent) as fetched:
        assert (fetched.path / "w.safetensors").read_bytes() == tensors_of(8)
        assert fetched.receipt.evicted_blobs == 1
    assert not (cache.blobs / blob_of(tensors_of(7)).name).exists()


def test_where_nothing_can_be_evicted_the_numbers_are_told(disk: Path) -> None:
    cache, files = open_roomy(disk / "cache"), {"w.safetensors": tensors_of(8)}
    said = r"cannot write .*No space left.* needs \d+ bytes .* has 0 bytes .* 0 bytes .* could be evicted"
    with pytest.raises(InsufficientDiskSpace, match=said) as caught:
        kept(cache, model_of(files), Greedy(disk, tensors_of(8)), never(), silent).__enter__()
    assert "wan weights gc" in caught.value.advice


class Greedy(Source):
    """While it fetches for the first time, somebody else takes all room that is left."""

    def __init__(self, disk: Path, *contents: bytes) -> None:
        super().__init__(*contents)
        self.ballast = disk / "ballast"

    def __call__(self, uri: str, blob: Blob) -> Fill[Receipt]:
        real = super().__call__(uri, blob)

        def fill(sink: FileIO, journal: Path, report: Report) -> Receipt:
            if not self.ballast.exists():
                with suppress(OSError), self.ballast.open("wb", buffering=0) as file:
                    while file.write(b"x" * PAGE):
                        pass
            return real(sink, journal, report)

        return fill


def test_a_limit_to_the_size_of_files_is_a_full_disk_too(tmp_path: Path) -> None:
    cache: Cache = open_roomy(tmp_path)
    data = tensors_of(1, size=256 * 1024)
    model = model_of({"w.safetensors": data})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    fetch = kept(cache, model, Source(data), never(), silent)
    resource.setrlimit(resource.RLIMIT_FSIZE, (128 * 1024, hard))
    try:
        with pytest.raises(
            InsufficientDiskSpace, match=f"cannot write {len(data)} bytes to .*File too large"
        ):
            fetch.__enter__()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(cache.blobs.iterdir()) == []
    with kept(cache, model, Source(data), never(), silent) as fetched:
        assert fetched.receipt.resumed > 0
