"""SIGTERM and SIGINT: a request to stop, noticed at once whatever the main thread is doing.

Standard library only, and installed before anything heavy is imported. Python runs signal handlers between
bytecodes of the main thread, which a long call into C puts off; so the byte that the interpreter writes to
the wakeup descriptor is read by a thread. That thread sets the event; where nothing can be left half done
(imports, computing) or the time of grace is over, it ends the process through `at_deadline`.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

GRACE_S = 5.0  # for a stage to notice the event: several blocks of a large transformer
UPLOAD_GRACE_S = 20.0  # to abort an upload: two timeouts of S3; Kubernetes grants 30 s


class Interruption:
    """Owns the handlers. `requested` is set once a signal has come; a second signal changes nothing."""

    def __init__(self) -> None:
        self.requested = threading.Event()
        self._changed = threading.Condition()
        self._grace_s = GRACE_S
        self._at_deadline: Callable[[], None] = lambda: None

    def install(self) -> None:
        """Take over SIGTERM and SIGINT. Main thread only."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        threading.Thread(target=self._watch, args=(reader,), name="signals", daemon=True).start()

    def end_with(self, at_deadline: Callable[[], None]) -> None:
        """What to do when the main thread does not come back in time; it should not return."""
        with self._changed:
            self._at_deadline = at_deadline

    @contextmanager
    def grace(self, seconds: float) -> Iterator[None]:
        """Inside, the main thread has so long after a signal to stop by itself; 0: nothing would be left
        half done.
        """
        before = self._set_grace(seconds)
        try:
            yield
        finally:
            self._set_grace(before)

    def _set_grace(self, seconds: float) -> float:
        with self._changed:
            before, self._grace_s = self._grace_s, seconds
            self._changed.notify()
            return before

    def _watch(self, reader: int) -> None:
        os.read(reader, 1)
        self.requested.set()
        with self._changed:
            while self._grace_s > 0 and self._changed.wait(self._grace_s):
                pass  # the stage changed: its own grace counts from here
        self._at_deadline()
