"""Files on this machine that appear whole or not at all, and what is said when the disk refuses."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from wan_core.errors import AccessDenied, InsufficientDiskSpace

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # EFBIG: the process's file size limit (ulimit -f)
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
_REFUSED |= {errno.ENOENT, errno.ELOOP, errno.ENAMETOOLONG}  # no folder can be made there
_TO_MAKE_ROOM = "Free disk space there, or name another folder."


@contextmanager
def writing_to(path: Path, need_bytes: int = 0) -> Iterator[None]:
    """A full disk, quota or file size limit is InsufficientDiskSpace; a folder not ours AccessDenied."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            free = shutil.disk_usage(path.parent).free
            what = f"{need_bytes} bytes to {path}" if need_bytes else str(path)
            raise InsufficientDiskSpace(
                f"cannot write {what}: {error.strerror}; {free} bytes are free there",
                advice=_TO_MAKE_ROOM,
            ) from error
        if error.errno in _REFUSED:
            advice = "Name a folder that this user may write."
            raise AccessDenied(f"cannot write {path}: {error.strerror}", advice=advice) from error
        raise


def require_space(folder: Path, need_bytes: int) -> None:
    """Raises InsufficientDiskSpace unless `folder`'s file system has `need_bytes` free for us."""
    free = shutil.disk_usage(folder).free
    if need_bytes > free:
        raise InsufficientDiskSpace(
            f"{folder} needs {need_bytes} more bytes and has {free} free", advice=_TO_MAKE_ROOM
        )


def write_all(file: FileIO, data: memoryview) -> None:
    """Writes `data` unbuffered, so that a full disk is reported here and not when the file is closed."""
    while data:
        data = data[file.write(data) :]


def write_flushed(path: Path, data: bytes) -> None:
    """A file with these bytes, on disk before this returns; its name is not."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    with FileIO(handle, "wb") as file:
        write_all(file, memoryview(data))
        os.fsync(handle)


@contextmanager
def written_whole(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """A path beside `path` to write to; on success it is flushed to disk and takes the name `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
        os.chmod(draft, mode)
        take_name(draft, path)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def take_name(draft: Path, path: Path) -> None:
    """Flushes `draft` and renames it to `path`, which then is whole even after a power cut."""
    flush(draft)
    os.replace(draft, path)
    flush(path.parent)


def flush(path: Path) -> None:
    """Bytes of a file, or names in a folder, onto the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
