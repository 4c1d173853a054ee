"""Room for what is about to be fetched: promised before the first byte, to all processes of the node.

What a fetch still lacks is written down in `reserved/`, in a file that it keeps locked; all that living
processes have promised themselves counts as taken, each blob once however many wait for it. Blocks that a
running fetch has claimed already are in the file system's own count.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from secrets import token_hex
from threading import Event

from wan_core.errors import InsufficientDiskSpace
from wan_runner.store.cache import Cache
from wan_runner.store.disk import write_all, writing_to
from wan_runner.store.evict import BLOCK_BYTES, Candidate, Evicted, evict, find_candidates, is_free
from wan_runner.store.leases import locked, try_lock
from wan_runner.store.limits import CacheLimits, told

log = logging.getLogger(__name__)

WAITING = "waiting for the cache's lock"


@dataclass(frozen=True)
class Usage:
    """Bytes: of the file system, what is used and free of it; of the cache; and promised but not yet
    taken."""

    used: int
    free: int
    cached: int
    promised: int


@dataclass(frozen=True)
class Shortfall:
    """Bytes to evict: `must`, or it does not fit; `should`, down to the low watermark."""

    must: int
    should: int


def find_shortfall(usage: Usage, limits: CacheLimits) -> Shortfall:
    """What to evict before the promised bytes come. Arithmetic only."""
    must = max(usage.promised - usage.free, 0)
    should = must
    disk, after = usage.used + usage.free, usage.used + usage.promised
    if after > limits.high * disk:
        should = max(should, after - int(limits.low * disk))
    if limits.max_bytes is not None:
        cached = usage.cached + usage.promised
        must = max(must, cached - limits.max_bytes)
        if cached > limits.max_bytes:
            should = max(should, cached - int(limits.max_bytes * limits.low / limits.high))
    return Shortfall(must, max(must, should))


@contextmanager
def reserved(cache: Cache, missing: Mapping[str, int], cancel: Event) -> Iterator[Evicted]:
    """Room for the blobs `missing`, by name and size, for as long as this is open; what was evicted for it.

    Raises InsufficientDiskSpace, which names what is needed, there, and could be evicted.
    """
    if not cache.has_locks:
        require(cache, measure(cache, missing))
        yield Evicted()
        return
    with ExitStack() as promise:
        with locked(cache.gc_lock, cancel, WAITING):
            evicted = make_room(cache, missing)
            promise.enter_context(_promised(cache, missing))
        yield evicted


@contextmanager
def _promised(cache: Cache, missing: Mapping[str, int]) -> Iterator[None]:
    """Writes down what is about to be fetched; it counts as long as this is open and the process lives."""
    path = cache.reserved / token_hex(8)
    with writing_to(path), FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "rb+") as file:
        try:
            try_lock(file)  # nobody looks at it without the lock that our caller holds
            write_all(file, memoryview(json.dumps(dict(missing)).encode()))
            yield
        finally:
            path.unlink(missing_ok=True)


def make_room(cache: Cache, missing: Mapping[str, int]) -> Evicted:
    """Evicts what is needed for `missing` and all that others were promised; the caller holds the cache's
    lock."""
    wanted = {**_promises(cache), **missing}
    usage = measure(cache, wanted)
    short = find_shortfall(usage, cache.limits)
    if not short.should:
        return Evicted()
    free = [one for one in find_candidates(cache, keep=wanted) if is_free(cache, one)]
    if sum(one.bytes for one in free) < short.must:  # then nothing is gained by evicting any
        raise _insufficient(cache, usage, free)
    evicted = evict(cache, short.should, keep=wanted)
    usage = measure(cache, wanted)
    if usage.used + usage.promised > cache.limits.high * (usage.used + usage.free):
        log.warning("%s stays fuller than WAN_CACHE_HIGH_PERCENT allows: others fill its disk", cache.root)
    if find_shortfall(usage, cache.limits).must:  # somebody has begun to use what seemed free
        raise _insufficient(cache, usage, [])
    return evicted


def require(cache: Cache, usage: Usage) -> None:
    """Raises InsufficientDiskSpace unless what is promised fits without evicting anything."""
    if find_shortfall(usage, cache.limits).must:
        raise _insufficient(cache, usage, [])


def measure(cache: Cache, wanted: Mapping[str, int]) -> Usage:
    """The disk and the cache as they are now, `wanted` blobs being promised."""
    disk = shutil.disk_usage(cache.root)
    promised = sum(_outstanding(cache, name, size) for name, size in wanted.items())
    return Usage(disk.used, disk.free, cached_bytes(cache), promised)


def cached_bytes(cache: Cache) -> int:
    """What the cache takes of the disk."""
    folders = (cache.blobs, cache.ingest, cache.quarantine, cache.prepared, cache.scratch)
    return sum(folder_bytes(folder) for folder in folders)


def folder_bytes(folder: Path) -> int:
    """What the files below `folder` take of the disk; those that vanish meanwhile take nothing."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(where, name)).st_blocks * BLOCK_BYTES
    return total


def _outstanding(cache: Cache, name: str, size: int) -> int:
    """What a blob will still take of the disk."""
    if (cache.blobs / name).exists():
        return 0
    try:
        taken = (cache.ingest / f"{name}.part").stat().st_blocks * BLOCK_BYTES
    except FileNotFoundError:
        taken = 0
    return max(size - taken, 0)


def _promises(cache: Cache) -> dict[str, int]:
    """The blobs that living processes are about to fetch; what dead ones were is forgotten."""
    wanted: dict[str, int] = {}
    for path in cache.reserved.iterdir():
        with suppress(FileNotFoundError), path.open("rb", buffering=0) as file:
            if try_lock(file):
                path.unlink()
            else:
                wanted |= json.loads(file.read())
    return wanted


def explain_full(
    cache: Cache, missing: Mapping[str, int], error: InsufficientDiskSpace
) -> InsufficientDiskSpace:
    """`error`, of a write that failed in spite of what was promised, with the numbers of now."""
    full = _insufficient(cache, measure(cache, missing), [])
    return InsufficientDiskSpace(f"{error.message}; {full.message}", advice=full.advice)


def _insufficient(cache: Cache, usage: Usage, free: list[Candidate]) -> InsufficientDiskSpace:
    have, limit = usage.free, ""
    if cache.limits.max_bytes is not None and cache.limits.max_bytes - usage.cached < have:
        have = max(cache.limits.max_bytes - usage.cached, 0)
        limit = f" below WAN_CACHE_MAX_BYTES, {told(cache.limits.max_bytes)}"
    evictable = sum(one.bytes for one in free)
    in_use = max(sum(one.bytes for one in find_candidates(cache)) - evictable, 0)
    return InsufficientDiskSpace(
        f"{cache.root} needs {told(usage.promised)} more and has {told(have)}{limit}; {told(evictable)} "
        f"could be evicted, {told(in_use)} are in use",
        advice="See what could go: `wan weights gc --dry-run`; else give the cache a larger disk: "
        "cache.node.path or cache.claimName in the chart's values.",
    )
