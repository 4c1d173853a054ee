"""What dead processes left behind. The living are recognized by their locks, the dead by having none.

A partial file can be resumed and is kept for a while; the rest is rubbish at once. Where locks cannot be
trusted, age alone decides for all of it.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path

from wan_runner.store.cache import Cache
from wan_runner.store.evict import Evicted, discard
from wan_runner.store.leases import locked_now


def sweep(cache: Cache, now: float | None = None, *, age_s: float | None = None) -> Evicted:
    """Removes partial files older than `age_s`, and drafts and temporary files; `now` in seconds since
    1970."""
    now = time.time() if now is None else now
    age_s = cache.limits.partial_age_s if age_s is None else age_s
    gone = Evicted()
    for path in list(cache.ingest.iterdir()):
        with suppress(FileNotFoundError):
            old = now - path.stat().st_mtime > age_s
            if path.suffix in (".part", ".journal") and old:
                gone += _sweep_partial(path.with_suffix(".part"))
            elif path.suffix in (".lock", ".tree") and (old or cache.has_locks):
                _sweep_draft(path)
    for path in list(cache.scratch.glob("*.lock")):
        with suppress(FileNotFoundError):
            if cache.has_locks or now - path.stat().st_mtime > age_s:
                _sweep_folder(path)
    return gone


def _sweep_partial(part: Path) -> Evicted:
    with locked_now(part) as held:
        if held is None:
            return Evicted()
        taken = part.stat().st_blocks * 512
        discard(part)
    return Evicted((part.name,), taken)


def _sweep_draft(path: Path) -> None:
    """A draft of a model's folder, <digest>.<anything>.tree, whose lock is <digest>.lock."""
    lock = path.with_name(path.name.partition(".")[0] + ".lock")
    with locked_now(lock) as held:
        if held is not None:
            for draft in path.parent.glob(f"{lock.stem}.*.tree"):
                shutil.rmtree(draft, ignore_errors=True)
            lock.unlink()


def _sweep_folder(lock: Path) -> None:
    """An attempt's temporary files, beside their lock."""
    with locked_now(lock) as held:
        if held is not None:
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink()
