"""What dead processes left, what living ones hold, and what may still be resumed."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from tests.wan_runner.store.caches import never, open_roomy
from wan_core.errors import InsufficientDiskSpace
from wan_runner.store.cache import Cache
from wan_runner.store.leases import locked
from wan_runner.store.scratch import open_scratch
from wan_runner.store.sweep import sweep

DAY_S = 24 * 3600


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return open_roomy(tmp_path)


def leave(path: Path, age_s: float = 0) -> None:
    """Something that a dead process wrote so long ago."""
    if path.suffix == ".tree":
        path.mkdir()
    else:
        path.write_bytes(b"left")
    os.utime(path, (time.time() - age_s, time.time() - age_s))


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_old_partial_files_go_and_young_ones_can_be_resumed(cache: Cache) -> None:
    for name, age_s in (("old", DAY_S + 60), ("young", DAY_S - 60)):
        leave(cache.ingest / f"{name}.part", age_s)
        leave(cache.ingest / f"{name}.journal", age_s)
    assert sweep(cache).names == ("old.part",)
    assert left(cache.ingest) == {"young.part", "young.journal"}


def test_the_age_is_a_setting(cache: Cache) -> None:
    leave(cache.ingest / "a.part", 7200)
    hourly = replace(cache, limits=replace(cache.limits, partial_age_s=3600.0))
    assert sweep(hourly).names == ("a.part",)


def test_what_somebody_holds_stays_however_old(cache: Cache) -> None:
    leave(cache.ingest / "a.part", 2 * DAY_S)
    with locked(cache.ingest / "a.part", Event(), "fetching"):
        sweep(cache)
        assert left(cache.ingest) == {"a.part"}


def test_drafts_and_temporary_files_of_the_dead_go_at_once_and_those_of_the_living_stay(
    cache: Cache,
) -> None:
    for name in ("dead", "alive"):
        leave(cache.ingest / f"{name}.lock")
        leave(cache.ingest / f"{name}.0a.tree")
        leave(cache.scratch / f"{name}.lock")
        (cache.scratch / name).mkdir()
    with (
        locked(cache.ingest / "alive.lock", never(), "linking"),
        locked(cache.scratch / "alive.lock", never(), "encoding"),
    ):
        sweep(cache)
        assert left(cache.ingest) == {"alive.lock", "alive.0a.tree"}
        assert left(cache.scratch) == {"alive.lock", "alive"}


def test_a_draft_whose_lock_is_gone_is_swept_too(cache: Cache) -> None:
    leave(cache.ingest / "x.0a.tree")
    sweep(cache)
    assert left(cache.ingest) == set()


def test_where_locks_cannot_be_trusted_only_age_tells(cache: Cache) -> None:
    blind = replace(cache, has_locks=False)
    leave(cache.ingest / "x.ab.part", 60)
    leave(cache.scratch / "young.lock", 60)
    leave(cache.scratch / "old.lock", 2 * DAY_S)
    sweep(blind)
    assert (left(cache.ingest), left(cache.scratch)) == ({"x.ab.part"}, {"young.lock"})


def test_temporary_files_are_gone_afterwards_even_if_the_attempt_fails(tmp_path: Path) -> None:
    with suppress(MemoryError), open_scratch(tmp_path, 1000, never()) as folder:
        (folder / "video.mp4").write_bytes(b"x")
        raise MemoryError
    assert left(tmp_path / "scratch") == set()


def test_attempts_together_stay_below_the_limit_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAN_CACHE_SCRATCH_BYTES", "1000")
    said = r"needs 1 bytes .* have 1000 bytes .* of the 1000 bytes"
    with (
        open_scratch(tmp_path, 600, never()),
        open_scratch(tmp_path, 400, never()),
        pytest.raises(InsufficientDiskSpace, match=said),
        open_scratch(tmp_path, 1, never()),
    ):
        pytest.fail("there is no room")
    with open_scratch(tmp_path, 1000, never()) as folder:
        assert left(folder) == set()
