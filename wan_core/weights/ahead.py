"""Files that are read soon, asked of the disk while others are read: at most so many bytes ahead.

The kernel reads them into its cache, whose pages it may take back; the bound keeps them from pushing out what
is used. Where it cannot be asked (macOS, file systems that refuse), nothing is read ahead.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

STEP_BYTES = 8 * 2**20
ASK_BYTES = 128 * 2**10
"""At one asking the kernel reads no more than the disk's read-ahead or its largest request: 128 KiB or more
(VM_READAHEAD_PAGES in Linux' include/linux/mm.h).
"""


class ReadAhead:
    """Owns the thread that asks, for as long as it is entered. `files` are in the order of their reading.

    Less than a step is not asked for.
    """

    def __init__(self, files: Iterable[Path], ahead_bytes: int) -> None:
        self._files = list(files)
        self._ahead = ahead_bytes if hasattr(os, "posix_fadvise") else 0
        self._reached = 0
        self._over = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._ask, name="read-ahead", daemon=True)

    def __enter__(self) -> ReadAhead:
        if self._ahead >= STEP_BYTES:
            self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._over = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def reached(self, done: int) -> None:
        """So many bytes of all files have been read."""
        with self._changed:
            self._reached = done
            self._changed.notify()

    def _ask(self) -> None:
        before = 0
        for file in self._files:
            try:
                before = self._ask_for(file, before)
            except OSError:  # whoever reads it meets the fault, and tells it
                return

    def _ask_for(self, file: Path, before: int) -> int:
        with file.open("rb") as opened:
            size = os.fstat(opened.fileno()).st_size
            for begin in range(0, size, STEP_BYTES):
                end = before + min(begin + STEP_BYTES, size)
                if not self._may_ask(end):
                    break
                if end > self._reached:
                    for at in range(begin, min(begin + STEP_BYTES, size), ASK_BYTES):
                        os.posix_fadvise(opened.fileno(), at, ASK_BYTES, os.POSIX_FADV_WILLNEED)
        return before + size

    def _may_ask(self, end: int) -> bool:
        """Wait until `end` is near enough; False if it is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._over or end - self._reached <= self._ahead)
            return not self._over
