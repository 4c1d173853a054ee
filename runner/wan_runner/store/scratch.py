"""One folder for the temporary files of all attempts on this node, with a limit to their size.

What an attempt will write is told beforehand and promised to it; the folder is gone when it ends, and that
of a killed one is swept by the next that starts.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from threading import Event

from wan_core.errors import InsufficientDiskSpace
from wan_runner.store.cache import Cache, open_cache
from wan_runner.store.disk import write_all, writing_to
from wan_runner.store.leases import locked
from wan_runner.store.limits import told
from wan_runner.store.space import WAITING
from wan_runner.store.sweep import sweep


@contextmanager
def open_scratch(cache_dir: Path, need_bytes: int, cancel: Event) -> Iterator[Path]:
    """An empty folder for at most `need_bytes`. Raises InsufficientDiskSpace, AccessDenied, Interrupted."""
    cache = open_cache(cache_dir)
    sweep(cache)
    folder = cache.scratch / token_hex(8)
    lock = folder.with_suffix(".lock")
    with ExitStack() as promise, writing_to(lock):
        with locked(cache.gc_lock, cancel, WAITING):
            _require(cache, need_bytes)
            held = promise.enter_context(locked(lock, cancel, "making a folder for temporary files"))
            write_all(held, memoryview(str(need_bytes).encode()))
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)


def _require(cache: Cache, need_bytes: int) -> None:
    limit, taken = cache.limits.scratch_bytes, _promised_bytes(cache)
    free = shutil.disk_usage(cache.scratch).free
    if need_bytes > min(limit - taken, free):
        raise InsufficientDiskSpace(
            f"{cache.scratch} needs {told(need_bytes)}; {told(free)} are free there, and running attempts "
            f"have {told(taken)} of the {told(limit)} that WAN_CACHE_SCRATCH_BYTES allows",
            advice="Free disk space there, run fewer attempts on one node, or raise WAN_CACHE_SCRATCH_BYTES.",
        )


def _promised_bytes(cache: Cache) -> int:
    """What running attempts were promised."""
    total = 0
    for lock in cache.scratch.glob("*.lock"):
        with suppress(FileNotFoundError, ValueError):
            total += int(lock.read_text())
    return total
