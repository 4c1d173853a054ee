"""Locks that the kernel frees when their holder dies: flock on files of the cache.

A lease is a shared lock on `leases/<blob>`: whoever holds it may count on the blob's staying. Whoever
removes a blob holds the same lock exclusively. A lock belongs to an open file, not to its name: files here
are renamed and removed by whoever holds their lock, so each lock is looked at once more after it was got.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path
from threading import Event

from wan_core.errors import Interrupted

LOCK_POLL_S = 0.1
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
SPARE_FILES = 256  # that a process has open besides its leases: sockets, shards, libraries


def nothing() -> None:
    """What a waiter does where it has nobody to tell."""


@contextmanager
def locked(
    path: Path, cancel: Event, doing: str, *, shared: bool = False, waiting: Callable[[], None] = nothing
) -> Iterator[FileIO]:
    """`path`, made if need be, open to write and locked; `waiting` is called every LOCK_POLL_S until then.

    Raises Interrupted, saying what is being done, soon after `cancel` is set.
    """
    while True:
        with _opened(path) as file:
            while not try_lock(file, shared=shared):
                waiting()
                if cancel.wait(LOCK_POLL_S):
                    raise Interrupted(f"told to stop while {doing}")
            if is_at(path, file):
                yield file
                return


@contextmanager
def locked_now(path: Path) -> Iterator[FileIO | None]:
    """`path`, made if need be and locked exclusively, or None if somebody else has it."""
    with _opened(path) as file:
        yield file if try_lock(file) and is_at(path, file) else None


@contextmanager
def leased(folder: Path, names: Iterable[str], cancel: Event) -> Iterator[None]:
    """Holds a lease on each of `names`, whether their blobs are there yet or not."""
    wanted = sorted(set(names))
    _allow_open_files(len(wanted))
    with ExitStack() as stack:
        for name in wanted:
            stack.enter_context(
                locked(folder / name, cancel, f"waiting for the lease on {name}", shared=True)
            )
        yield


def is_leased(folder: Path, name: str) -> bool:
    """Whether somebody holds a lease on `name`, as far as can be seen without making one."""
    with suppress(FileNotFoundError), (folder / name).open("rb", buffering=0) as file:
        return not try_lock(file)
    return False


def try_lock(file: FileIO, *, shared: bool = False) -> bool:
    """Whether we got the lock of `file`, without waiting. Where there are no locks, nobody else has it."""
    try:
        fcntl.flock(file.fileno(), (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def is_at(path: Path, file: FileIO) -> bool:
    """Whether `path` still is the name of the open `file`."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _opened(path: Path) -> FileIO:
    """`path` to read and write, made if need be, and never what a link leads to: that may lie elsewhere.

    A read-only draft of a dead process is ours to go on with.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        handle = os.open(path, flags, 0o644)
    except PermissionError:
        path.chmod(0o644)
        handle = os.open(path, flags, 0o644)
    return FileIO(handle, "rb+")


def _allow_open_files(count: int) -> None:
    """Each lease is an open file. The soft limit is often 1,024; the hard one is what an administrator
    set."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = count + SPARE_FILES
    if soft != resource.RLIM_INFINITY and need > soft:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (need if hard == resource.RLIM_INFINITY else min(need, hard), hard)
        )
