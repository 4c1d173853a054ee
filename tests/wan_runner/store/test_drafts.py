"""Folders for what is only to be sent: gone afterwards, whoever ended how."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from wan_core.errors import AccessDenied
from wan_runner.store.drafts import PREFIX, draft_folder, files_below, sweep_drafts

KILLED = """
import os, signal, sys
from pathlib import Path
from wan_runner.store.drafts import draft_folder
with draft_folder(Path(sys.argv[1])) as folder:
    (folder / "large").write_bytes(b"x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_draft_is_gone_afterwards_even_after_a_fault(tmp_path: Path) -> None:
    def fail() -> None:
        with draft_folder(tmp_path / "new") as folder:
            (folder / "part").mkdir()
            (folder / "part" / "a").write_bytes(b"x")
            assert files_below(folder) == {"part/a": folder / "part" / "a"}
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list((tmp_path / "new").iterdir()) == []


def test_what_a_killed_process_left_goes_and_what_is_in_use_stays(tmp_path: Path) -> None:
    with draft_folder(tmp_path) as mine:
        subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
        left = {path for path in tmp_path.iterdir() if path != mine}
        assert [(path / "large").read_bytes() for path in left] == [b"x"]
        (tmp_path / f"{PREFIX}file").write_bytes(b"not ours")
        sweep_drafts(tmp_path)
        assert set(tmp_path.iterdir()) == {mine, tmp_path / f"{PREFIX}file"}


def test_a_folder_that_cannot_be_made_is_access_denied(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(AccessDenied, match="cannot write"), draft_folder(tmp_path / "file" / "in"):
        pass
