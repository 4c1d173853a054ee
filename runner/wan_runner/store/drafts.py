"""Folders for what is written only to be sent, gone afterwards, even after a kill: the next one sweeps."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wan_runner.store.disk import writing_to

PREFIX = "wan-publish-"


@contextmanager
def draft_folder(scratch: Path) -> Iterator[Path]:
    """An empty folder in `scratch`, locked by us while it is there.

    Raises AccessDenied, and InsufficientDiskSpace for whatever a full disk refuses inside.
    """
    with writing_to(scratch):
        scratch.mkdir(parents=True, exist_ok=True)
        sweep_drafts(scratch)
        made = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=scratch))  # a name that nobody sweeps
    handle = os.open(made, os.O_RDONLY | os.O_CLOEXEC)
    folder = made.with_name(made.name.removeprefix("."))
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        made.rename(folder)
        with writing_to(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def sweep_drafts(scratch: Path) -> None:
    """Removes the folders of processes that were killed: nobody holds their lock."""
    for folder in scratch.glob(f"{PREFIX}*"):
        with suppress(FileNotFoundError, PermissionError, NotADirectoryError):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            except BlockingIOError:
                continue
            finally:
                os.close(handle)


def files_below(folder: Path) -> dict[str, Path]:
    """Every file of a draft, by its path in it."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
