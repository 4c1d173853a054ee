"""Locks on files that are renamed and removed by whoever holds them."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest

from wan_core.errors import Interrupted
from wan_runner.store.leases import SPARE_FILES, is_leased, leased, locked, locked_now

HOLD = """
import sys
from pathlib import Path
from threading import Event
from wan_runner.store.leases import leased
with leased(Path(sys.argv[1]), ["a"], Event()):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_leases_are_shared_and_keep_out_who_would_be_alone(tmp_path: Path) -> None:
    with leased(tmp_path, ["a"], Event()), leased(tmp_path, ["a", "b"], Event()):
        assert is_leased(tmp_path, "a")
        with locked_now(tmp_path / "a") as alone:
            assert alone is None
    assert not is_leased(tmp_path, "a")
    with locked_now(tmp_path / "a") as alone:
        assert alone is not None


def test_the_lease_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_leased(tmp_path, "a")
        holder.send_signal(signal.SIGKILL)
    assert not is_leased(tmp_path, "a")


def test_who_waits_is_told_and_can_be_cancelled(tmp_path: Path) -> None:
    cancel, looks = Event(), []

    def look() -> None:
        looks.append(1)
        cancel.set()

    with (
        locked(tmp_path / "a", Event(), "holding"),
        pytest.raises(Interrupted, match="told to stop while waiting for a"),
        locked(tmp_path / "a", cancel, "waiting for a", waiting=look),
    ):
        pytest.fail("two have the lock")
    assert looks == [1]


def test_a_lock_on_a_file_that_lost_its_name_meanwhile_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a"

    def holder_renames() -> None:
        (tmp_path / "a").rename(tmp_path / "published")
        first.__exit__(None, None, None)

    first = locked(path, Event(), "holding")
    first.__enter__()
    with locked(path, Event(), "waiting", waiting=holder_renames) as held:
        assert os.path.samestat(path.stat(), os.fstat(held.fileno()))
        assert not os.path.samestat(path.stat(), (tmp_path / "published").stat())


def test_the_draft_of_a_dead_process_is_taken_over_though_it_was_read_only_already(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"draft")
    path.chmod(0o444)
    with locked(path, Event(), "going on") as held:
        held.write(b"D")
    assert path.read_bytes() == b"Draft"


def test_a_model_of_many_files_may_have_as_many_leases_as_the_hard_limit_allows(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = 400
    if hard != resource.RLIM_INFINITY and hard < count + SPARE_FILES:
        pytest.skip(f"the hard limit of open files is {hard}")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count // 2, hard))
        with leased(tmp_path, [str(n) for n in range(count)], Event()):
            assert is_leased(tmp_path, "399")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
