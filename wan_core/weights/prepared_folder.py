"""What is costly to derive, as files on this machine: names, limits, counters, clean-up. No torch here.

    <root>/<sha256 of a key>   a value, mode 0600; it appears whole, by rename, after its bytes are on disk
    <root>/<sha256>.claim      locked by the process that makes the value; rubbish if nobody holds it
    <root>/*.draft             a value being written, locked by who writes it; rubbish likewise
    <root>/counters.json       what all processes together found, made and saved

Locks are flock: the kernel frees those of the dead. Where a file system has none, or none to be trusted, a
value may be made twice, and nothing else happens: each writer has a draft of its own. Nobody may be kept from
a video by this folder: whatever cannot be written is told in the log and done without.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import math
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

from wan_core.api.words import unknown_names
from wan_core.errors import InvalidInput

FOLDER = "prepared"
"""Its name in the weights' cache."""
LIMIT_VARIABLE = "WAN_PREPARED_MAX_BYTES"
DEFAULT_MAX_BYTES = 2 * 2**30  # 512 prompts of umT5-xxl at least, in bfloat16: 512 tokens x 8 KiB are 4 MiB
UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
UNITS |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}

CLAIM, DRAFT = ".claim", ".draft"
COUNTERS, COUNTERS_LOCK = "counters.json", "counters.lock"
POLL_S = 0.05
WAIT_S = 600.0  # a holder that is dead has no lock; one that is only stuck is not waited for any longer

_VALUE = re.compile(r"[0-9a-f]{64}")
_QUANTITY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)(|k|M|G|T|Ki|Mi|Gi|Ti)")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Counts:
    """`hits` were found and `misses` made; bytes of both; seconds that making took, less those of reading."""

    hits: int = 0
    misses: int = 0
    bytes_read: int = 0
    bytes_stored: int = 0
    seconds_saved: float = 0.0

    def __add__(self, other: Counts) -> Counts:
        mine, theirs = asdict(self), asdict(other)
        return Counts(**{name: mine[name] + theirs[name] for name in mine})


@dataclass(frozen=True)
class Entry:
    """A stored value; `used` is when it was made or last found, in seconds since 1970."""

    path: Path
    bytes: int
    used: float


def digest_of(key: Mapping[str, Any]) -> str:
    """SHA-256 of a key's canonical JSON: what a value is called, and all that is stored of the key."""
    text = json.dumps(key, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_max_bytes(environment: Mapping[str, str]) -> int:
    """WAN_PREPARED_MAX_BYTES, a quantity as Kubernetes writes them; 0 is off. Raises InvalidInput, for other
    names of this beginning too.
    """
    if unknown := unknown_names(environment, "WAN_PREPARED_", (LIMIT_VARIABLE,)):
        raise InvalidInput(unknown, advice="Correct or unset it.")
    text = environment.get(LIMIT_VARIABLE, "").strip()
    if not text:
        return DEFAULT_MAX_BYTES
    found = _QUANTITY.fullmatch(text)
    if not found:
        raise InvalidInput(
            f"{LIMIT_VARIABLE}: {text[:40]!r} is not a number of bytes such as 2Gi or 500M, or 0 for off",
            advice=f"Correct or unset {LIMIT_VARIABLE}.",
        )
    return int(float(found[1]) * UNITS[found[2]])


def entries(root: Path) -> list[Entry]:
    """The stored values, the longest unused first."""
    found = []
    for path in _listed(root):
        with suppress(OSError):
            if _VALUE.fullmatch(path.name):
                status = path.stat()
                found.append(Entry(path, status.st_size, status.st_mtime))
    return sorted(found, key=lambda entry: entry.used)


def write_value(root: Path, name: str, blocks: Iterable[bytes]) -> None:
    """`blocks` as the value `name`, whole or not at all. Raises OSError."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile(dir=root, suffix=DRAFT, delete=False) as draft:
        try:
            _lock(draft)
            for block in blocks:
                draft.write(block)
            draft.flush()
            os.fsync(draft.fileno())
            os.replace(draft.name, root / name)
        except BaseException:
            _remove(Path(draft.name))
            raise
    _flush_folder(root)


def evict(root: Path, max_bytes: int) -> list[Entry]:
    """Remove what was unused for longest until the rest fits; those removed. Readers hold what they read."""
    found = entries(root)
    excess = sum(entry.bytes for entry in found) - max_bytes
    gone = []
    for entry in found:
        if excess <= 0:
            break
        _remove(entry.path)
        excess -= entry.bytes
        gone.append(entry)
    return gone


def sweep(root: Path) -> None:
    """Remove what dead processes left: claims and drafts that nobody holds."""
    for path in _listed(root):
        if path.suffix in (CLAIM, DRAFT):
            with suppress(OSError), path.open("rb") as file:
                if _lock(file) and is_at(path, file):
                    _remove(path)


def clear(root: Path) -> tuple[int, int]:
    """Remove every value and the counters; how many values, and their bytes. What runs is not disturbed."""
    sweep(root)
    gone = evict(root, -1)
    _remove(root / COUNTERS)
    return len(gone), sum(entry.bytes for entry in gone)


@contextmanager
def claimed(root: Path, name: str, check: Callable[[], None]) -> Iterator[None]:
    """Alone with the value `name` on this machine, for as long as others trust in that.

    `check` is called while another process has it, and may raise.
    """
    path = root / f"{name}{CLAIM}"
    claim = _claim(path, check)
    try:
        yield
    finally:
        if claim is not None:
            with claim:
                if is_at(path, claim):
                    _remove(path)


def _claim(path: Path, check: Callable[[], None]) -> IO[bytes] | None:
    """The locked file; None where none can be had, so that the value is made without."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        check()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = path.open("ab")
        except OSError:  # the same will be told when the value is to be stored
            return None
        if _lock(file) and is_at(path, file):
            return file
        file.close()
        time.sleep(POLL_S)
    log.warning("another process has been making the same for %d s: not waited for any longer", WAIT_S)
    return None


def is_at(path: Path, file: IO[bytes]) -> bool:
    """Whether `path` is the name of this open file still."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def read_counts(root: Path) -> Counts:
    """What all processes counted since the last `clear`; nothing where that cannot be read."""
    try:
        document = json.loads((root / COUNTERS).read_bytes())
        found = {field.name: document[field.name] for field in fields(Counts)}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return Counts()
    sound = all(type(number) in (int, float) and 0 <= number < math.inf for number in found.values())
    return Counts(**found) if sound else Counts()


def add_counts(root: Path, counts: Counts) -> None:
    """Add to what all processes counted. What a crash or a full disk takes is only that."""
    try:
        with (root / COUNTERS_LOCK).open("ab") as lock:
            with suppress(OSError):
                fcntl.flock(lock.fileno(), fcntl.LOCK_EX)
            total = read_counts(root) + counts
            draft = root / f"{COUNTERS}.part"  # not a draft to sweep: only who has the lock writes it
            draft.write_text(json.dumps(asdict(total)))
            os.replace(draft, root / COUNTERS)
    except OSError as error:
        log.info("hits and misses were not counted: %s", error)


def _lock(file: Any) -> bool:
    """Whether nobody else holds `file`; now we do. The kernel frees it when the file is closed."""
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks here: see above
        return True
    return True


def _listed(root: Path) -> list[Path]:
    try:
        return list(root.iterdir())
    except OSError:
        return []


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _flush_folder(root: Path) -> None:
    handle = os.open(root, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
