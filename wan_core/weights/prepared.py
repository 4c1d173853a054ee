"""What is costly to derive, kept on this machine under the digest of everything that determines it.

A value is a dict of tensors. A key is JSON and says what a value is made of, by digest, by which code, on
what: equal keys, equal bits. Only its SHA-256 is stored. Every byte of a file is under a checksum, SHA-256,
1.8 GB/s on one core (AMD EPYC with SHA extensions, 2026-11-21) where a prompt's states have 4 MiB; a file
that fails it is removed and made again. Not covered: values larger than the host's memory, which are read
whole; secrecy towards those who may read the folder (docs/guides/weights.md).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import safetensors.torch
from torch import Tensor

from wan_core.weights.prepared_folder import (
    Counts,
    add_counts,
    claimed,
    digest_of,
    evict,
    is_at,
    sweep,
    write_value,
)

FORMAT = 1  # of the files; part of every key
CHECKSUM_LENGTH = 64

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """A value on the host, and what it took to make: itself, and what had to be there first."""

    tensors: dict[str, Tensor]
    make_s: float
    setup_s: float


class Prepared:
    """Owns the folder `root` together with other processes, and counts what this one finds and makes.

    Values are at most `max_bytes` together; 0 turns it off: nothing is read or written. `check` is called
    while another process makes what is asked for, and may raise.
    """

    def __init__(self, root: Path, max_bytes: int, check: Callable[[], None] = lambda: None) -> None:
        self.counts = Counts()
        self._root, self._max_bytes, self._check = root, max_bytes, check

    def find(self, key: Mapping[str, Any]) -> Found | None:
        """The value, if it is there and sound: a hit."""
        return self._find(_name(key)) if self._max_bytes else None

    def get_or_make(
        self, key: Mapping[str, Any], make: Callable[[], dict[str, Tensor]], *, setup_s: float = 0.0
    ) -> Found:
        """The value, made by one process of this machine while the others wait.

        `setup_s` is what this process spent to be able to make it.
        """
        if not self._max_bytes:
            return _make(make, setup_s)
        name = _name(key)
        found = self._find(name)
        if found is not None:
            return found
        with claimed(self._root, name, self._check):
            found = self._find(name)
            if found is not None:
                return found
            found = _make(make, setup_s)
            stored = self._store(name, found)
        self._count(Counts(misses=1, bytes_stored=stored))
        return found

    def spared(self, seconds: float) -> None:
        """Count seconds that hits saved beside their own making."""
        self._count(Counts(seconds_saved=seconds))

    def _find(self, name: str) -> Found | None:
        began = monotonic()
        data = self._read(name)
        if data is None:
            return None
        found = unpack(data)
        saved_s = max(0.0, found.make_s - (monotonic() - began))
        self._count(Counts(hits=1, bytes_read=len(data), seconds_saved=saved_s))
        return found

    def _read(self, name: str) -> bytes | None:
        """The bytes of a value, under their checksum; None if there are none. They count as used now."""
        path = self._root / name
        try:
            with path.open("rb") as file:
                data = file.read()
                if is_sound(data):
                    with suppress(OSError):  # of another user, or gone meanwhile
                        os.utime(path)
                    return data
                log.warning("a prepared value is damaged, and is made again: %s", path)
                if is_at(path, file):
                    path.unlink()
        except FileNotFoundError:
            pass
        except OSError as error:
            log.warning("a prepared value cannot be read, and is made again: %s", error)
        return None

    def _store(self, name: str, found: Found) -> int:
        """Bytes that were stored: 0 if the folder does not take them, which harms nobody."""
        blocks = list(pack(found))
        nbytes = sum(map(len, blocks))
        if nbytes > self._max_bytes:
            log.warning("a prepared value of %d bytes is not kept: at most %d are", nbytes, self._max_bytes)
            return 0
        sweep(self._root)
        try:
            write_value(self._root, name, blocks)
        except OSError as error:
            log.warning("a prepared value of %d bytes is used, but not kept: %s", nbytes, error)
            return 0
        for gone in evict(self._root, self._max_bytes):
            log.info("a prepared value of %d bytes made way", gone.bytes)
        return nbytes

    def _count(self, counts: Counts) -> None:
        self.counts += counts
        add_counts(self._root, counts)


def pack(found: Found) -> Iterator[bytes]:
    """A file: SHA-256 of the rest in hex, a line of JSON, the tensors as safetensors."""
    facts = {
        "make_s": round(found.make_s, 3),
        "setup_s": round(found.setup_s, 3),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    tensors = {name: tensor.contiguous() for name, tensor in found.tensors.items()}
    header, body = f"\n{json.dumps(facts)}\n".encode(), safetensors.torch.save(tensors)
    digest = hashlib.sha256(header)
    digest.update(body)
    yield digest.hexdigest().encode()
    yield header
    yield body


def is_sound(data: bytes) -> bool:
    """Whether the checksum is that of the rest."""
    rest = memoryview(data)[CHECKSUM_LENGTH:]
    return hashlib.sha256(rest).hexdigest().encode() == data[:CHECKSUM_LENGTH]


def unpack(data: bytes) -> Found:
    """What `pack` packed. Each tensor has memory of its own, aligned as torch's are: kernels may differ in
    the last bit where it is not.
    """
    _, header, body = data.split(b"\n", 2)
    facts = json.loads(header)
    tensors = {name: tensor.clone() for name, tensor in safetensors.torch.load(body).items()}
    return Found(tensors, facts["make_s"], facts["setup_s"])


def _make(make: Callable[[], dict[str, Tensor]], setup_s: float) -> Found:
    began = monotonic()
    tensors = make()
    return Found(tensors, monotonic() - began, setup_s)


def _name(key: Mapping[str, Any]) -> str:
    return digest_of({**key, "format": FORMAT})
