"""A few fixed slots of host memory through which weights pass on their way: pinned where a GPU takes them.

Allocated once a process, and not given back: fresh memory costs several times what copying into memory that
is there already does, and pinning it more still (docs/benchmarks.md). One load holds the ring at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

THREADS = 4  # that fill slots
SLOT_BYTES = 16 * 2**20
SLOTS = THREADS
PINNED_SLOTS = 2 * THREADS  # as many again may be on their way to a device


class Slot:
    """`copy` is the last copy out of it that was begun, which must be over before it is filled again."""

    def __init__(self, nbytes: int, *, pinned: bool) -> None:
        self.bytes = torch.empty(nbytes, dtype=torch.uint8, pin_memory=pinned)
        self.copy: Any = None


class Ring:
    """Owns the slots. Memory that is not pinned is taken by the kernel's leave only once it is written to."""

    def __init__(self, slots: int, slot_bytes: int, *, pinned: bool) -> None:
        self.slot_bytes = slot_bytes
        self._slots = [Slot(slot_bytes, pinned=pinned) for _ in range(slots)]
        self._lock = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[Sequence[Slot]]:
        """The slots, for one load alone; another one waits."""
        with self._lock:
            yield self._slots


_rings: dict[bool, Ring] = {}
_rings_lock = threading.Lock()


def find_ring(*, pinned: bool) -> Ring:
    """The ring of this process."""
    with _rings_lock:
        if pinned not in _rings:
            _rings[pinned] = Ring(PINNED_SLOTS if pinned else SLOTS, SLOT_BYTES, pinned=pinned)
        return _rings[pinned]
