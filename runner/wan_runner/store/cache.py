"""The folder of a node that keeps weights, for all its pods: where things lie, and what their names mean.

    blobs/<name>              a file's bytes, mode 0444; a name here means that the bytes were verified
    models/<manifest digest>/ a model's folder: relative links into blobs, whole once its mark is there
    ingest/<name>.part        being fetched, locked by who does so; .journal says what can be resumed
    leases/<name>             locked shared by everybody who needs that blob to stay
    used/<name>               its time is when the blob was used last
    reserved/<anything>       which blobs a living process is about to fetch, locked by it
    quarantine/<name>         bytes that turned out to be wrong, and the reason beside them
    scratch/<anything>/       an attempt's temporary files, its .lock beside it
    prepared/, picks/         what the core keeps: derived weights, and measurements of a GPU
    gc.lock                   held by whoever evicts, or counts what is free

A name appears by rename, after its bytes and before its folder were flushed to disk: completeness is a name,
never a size. The size of a blob is compared too, because that costs nothing. What lies in a blob is not read
again but by `scrub`. Where locks cannot be trusted (see filesystem.py), everybody fetches under a name of his
own, the rename decides, and nothing is evicted on its own account, because nobody can see what is in use.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from wan_runner.store.blob import Blob
from wan_runner.store.disk import flush, writing_to
from wan_runner.store.filesystem import FileSystem, find_filesystem
from wan_runner.store.limits import CacheLimits, read_limits

log = logging.getLogger(__name__)

FOLDERS = ("blobs", "models", "ingest", "leases", "used", "reserved", "quarantine", "scratch")
MODE = 0o444


@dataclass(frozen=True)
class Cache:
    """An open cache: its folder, its limits, and whether locks in it can be trusted."""

    root: Path
    limits: CacheLimits
    has_locks: bool

    @property
    def blobs(self) -> Path:
        return self.root / "blobs"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def ingest(self) -> Path:
        return self.root / "ingest"

    @property
    def leases(self) -> Path:
        return self.root / "leases"

    @property
    def used(self) -> Path:
        return self.root / "used"

    @property
    def reserved(self) -> Path:
        return self.root / "reserved"

    @property
    def quarantine(self) -> Path:
        return self.root / "quarantine"

    @property
    def scratch(self) -> Path:
        return self.root / "scratch"

    @property
    def prepared(self) -> Path:
        return self.root / "prepared"

    @property
    def gc_lock(self) -> Path:
        return self.root / "gc.lock"


def open_cache(root: Path, environ: Mapping[str, str] = os.environ) -> Cache:
    """The cache in `root`, made if need be. Raises AccessDenied, InsufficientDiskSpace, InvalidInput."""
    limits = read_limits(environ)
    with writing_to(root):
        for name in FOLDERS:
            (root / name).mkdir(parents=True, exist_ok=True)
    return Cache(root, limits, _filesystem_of(root).has_locks)


@lru_cache(maxsize=16)  # and so it is logged once
def _filesystem_of(root: Path) -> FileSystem:
    found = find_filesystem(root)
    if not found.has_locks:
        log.warning(
            "%s is on %s, where locks cannot be trusted: every process fetches for itself, nothing is "
            "resumed after a kill, and nothing is evicted but by `wan weights gc`",
            root,
            found.kind,
        )
    return found


def is_cached(cache: Cache, blob: Blob) -> bool:
    """Whether the blob is there. Stays true only as long as the caller holds its lease."""
    try:
        return (cache.blobs / blob.name).stat().st_size == blob.bytes
    except FileNotFoundError:
        return False


def mark_used(cache: Cache, name: str) -> None:
    """The blob was used now: what was not used for the longest time is evicted first."""
    handle = os.open(cache.used / name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        os.utime(handle)
    finally:
        os.close(handle)


def last_used_ns(cache: Cache, name: str) -> int:
    """When the blob was used last, on this file system's clock; 0 if it is gone."""
    for folder in (cache.used, cache.blobs):
        try:
            return (folder / name).stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return 0


def publish_blob(cache: Cache, part: Path, handle: int, name: str) -> None:
    """Gives the verified bytes at `part`, open as `handle`, the name that says so."""
    os.fchmod(handle, MODE)
    os.fsync(handle)
    os.replace(part, cache.blobs / name)
    flush(cache.blobs)


def put_away(cache: Cache, name: str, reason: str) -> None:
    """Moves a blob whose bytes are wrong to quarantine, the reason beside it; for who holds its lease alone,
    or found a size that nobody can have used.
    """
    with writing_to(cache.quarantine):
        (cache.quarantine / f"{name}.reason").write_text(reason + "\n")
        os.replace(cache.blobs / name, cache.quarantine / name)
        flush(cache.blobs)
    log.warning("%s is in quarantine: %s", name, reason)
