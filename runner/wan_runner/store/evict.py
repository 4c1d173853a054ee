"""What goes when room is needed: what was not used for the longest time, and never what is in use.

Only whoever holds the cache's one lock evicts. Each candidate's own lock is taken without waiting, so what
somebody reads or fetches is passed over; and whether it was used since it was chosen is asked once more while
that lock is held. A model's folder goes with the first of its blobs.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from wan_core.weights import prepared_folder
from wan_runner.store.cache import Cache, last_used_ns
from wan_runner.store.leases import is_leased, locked_now
from wan_runner.store.tree import drop_tree, read_trees

log = logging.getLogger(__name__)

BLOCK_BYTES = 512  # of st_blocks, whatever the file system's are


@dataclass(frozen=True)
class Candidate:
    """What may go: bytes in quarantine, a partial file, a derived value, a blob. `bytes` is what it takes of
    the disk, `used_ns` when it was used last.
    """

    kind: Literal["quarantine", "partial", "prepared", "blob"]
    name: str
    bytes: int
    used_ns: int


@dataclass(frozen=True)
class Evicted:
    """What went."""

    names: tuple[str, ...] = ()
    bytes: int = 0

    def __add__(self, other: Evicted) -> Evicted:
        return Evicted(self.names + other.names, self.bytes + other.bytes)


def find_candidates(cache: Cache, keep: Collection[str] = ()) -> list[Candidate]:
    """All that may go, in the order in which it would: bytes that are wrong first, then by time of use.

    Partial files of `keep` stay: somebody is about to resume them.
    """
    found = [*_blobs(cache), *_partials(cache, keep), *_prepared(cache), *_quarantined(cache)]
    return sorted(found, key=lambda one: (one.kind != "quarantine", one.used_ns, one.name))


def is_free(cache: Cache, candidate: Candidate) -> bool:
    """Whether nobody uses it now."""
    if candidate.kind == "partial":
        return not is_leased(cache.ingest, candidate.name)
    return candidate.kind != "blob" or not is_leased(cache.leases, candidate.name)


def evict(cache: Cache, wanted_bytes: int, keep: Collection[str] = ()) -> Evicted:
    """Evicts until `wanted_bytes` are free or nothing more can go; the caller holds the cache's lock."""
    evicted = Evicted()
    for candidate in find_candidates(cache, keep):
        if evicted.bytes >= wanted_bytes:
            break
        evicted += evict_one(cache, candidate)
    return evicted


def evict_one(cache: Cache, candidate: Candidate) -> Evicted:
    """Removes `candidate` unless somebody uses it, or did so since it was chosen."""
    if not _REMOVE[candidate.kind](cache, candidate):
        return Evicted()
    log.info("evicted %s %s, %d bytes", candidate.kind, candidate.name, candidate.bytes)
    return Evicted((candidate.name,), candidate.bytes)


def _remove_blob(cache: Cache, candidate: Candidate) -> bool:
    name = candidate.name
    lease, blob = cache.leases / name, cache.blobs / name
    with locked_now(lease) as held:
        if held is None or not blob.exists() or last_used_ns(cache, name) != candidate.used_ns:
            return False
        for tree in read_trees(cache):
            if any(blob.name == name for blob in tree.files.values()):
                drop_tree(tree.folder)
        blob.unlink()
        (cache.used / name).unlink(missing_ok=True)
        lease.unlink()
    return True


def _remove_partial(cache: Cache, candidate: Candidate) -> bool:
    part = cache.ingest / candidate.name
    with locked_now(part) as held:
        if held is not None:
            discard(part)
    return held is not None


def _remove_prepared(cache: Cache, candidate: Candidate) -> bool:
    """Whoever reads it holds what he reads; to the next it is a miss."""
    (cache.prepared / candidate.name).unlink(missing_ok=True)
    return True


def _remove_quarantined(cache: Cache, candidate: Candidate) -> bool:
    path = cache.quarantine / candidate.name
    if path.is_dir():  # somebody put a folder where a blob should be
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return True


_REMOVE: Mapping[str, Callable[[Cache, Candidate], bool]] = MappingProxyType(
    {
        "quarantine": _remove_quarantined,
        "partial": _remove_partial,
        "prepared": _remove_prepared,
        "blob": _remove_blob,
    }
)


def discard(part: Path) -> None:
    """Removes a partial file and its journal, for who holds its lock: first what could be resumed."""
    part.with_suffix(".journal").unlink(missing_ok=True)
    part.unlink(missing_ok=True)


def _taken(about: os.stat_result) -> int:
    """What a file takes of the disk."""
    return about.st_blocks * BLOCK_BYTES


def _blobs(cache: Cache) -> Iterator[Candidate]:
    for path in cache.blobs.iterdir():
        with suppress(FileNotFoundError):
            about = path.stat()
            if stat.S_ISREG(about.st_mode):  # nothing else can be a blob; it is put away when one is wanted
                yield Candidate("blob", path.name, _taken(about), last_used_ns(cache, path.name))


def _partials(cache: Cache, keep: Collection[str]) -> Iterator[Candidate]:
    for path in cache.ingest.glob("*.part"):
        with suppress(FileNotFoundError):
            if path.stem not in keep:
                about = path.stat()
                yield Candidate("partial", path.name, _taken(about), about.st_mtime_ns)


def _prepared(cache: Cache) -> Iterator[Candidate]:
    for entry in prepared_folder.entries(cache.prepared):
        yield Candidate("prepared", entry.path.name, entry.bytes, int(entry.used * 1e9))


def _quarantined(cache: Cache) -> Iterator[Candidate]:
    for path in cache.quarantine.iterdir():
        if path.suffix != ".reason":
            with suppress(FileNotFoundError):
                about = path.stat()
                yield Candidate("quarantine", path.name, _taken(about), about.st_mtime_ns)
