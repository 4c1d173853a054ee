"""The workers of one download, and the thread that watches them.

Each worker takes a piece, fetches it over its line, and enters it in ledger and journal: under one lock,
once a piece. The watching thread is the caller's: it tells how far they are, adapts their number, wakes
those that stall, and stops all of them, for an error, for the end, or when told to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Condition, Event, Thread

from wan_core.errors import Interrupted
from wan_runner.store.chunks import Ledger, Piece
from wan_runner.store.journal import Journal
from wan_runner.store.line import Line, Reader, direct
from wan_runner.store.pace import Pace, Search
from wan_runner.store.ranges import Source, persist
from wan_runner.store.sink import Sink

Report = Callable[[int], None]

TICK_S = 0.1
REPORT_S = 0.2
SPLIT_S = 2.0  # nobody is idle while another has so much to do
END_S = 1.0  # for workers to leave; who still waits for S3's answer then is left behind, and writes nothing


class Crew:
    """Owns threads: `run` starts them, and none of them touches the file after it has returned."""

    def __init__(self, source: Source, ledger: Ledger, journal: Journal, descriptor: int, pace: Pace):
        self._source, self._ledger, self._journal, self._pace = source, ledger, journal, pace
        self._sink = Sink(descriptor, ledger.piece_bytes)
        self._search = Search(pace)
        self._lines: dict[Line, Thread] = {}  # of the workers that have not left
        self._of_the_left = 0  # bytes that workers had received when they left
        self._changed = Condition()  # holds for everything above and the files behind it
        self._stop, self._over = Event(), Event()
        self._error: BaseException | None = None
        self.retries = 0

    @property
    def received(self) -> int:
        with self._changed:
            return self._of_the_left + sum(line.received for line in self._lines)

    def run(self, cancel: Event, report: Report) -> None:
        """Returns when every byte is here. Raises what a worker raised, or Interrupted."""
        try:
            self._watch(cancel, report)
        finally:
            self._end()
        if self._error is not None:
            raise self._error

    def _watch(self, cancel: Event, report: Report) -> None:
        told_s = 0.0
        while not self._over.is_set():
            now_s = time.monotonic()
            if cancel.is_set():
                raise Interrupted(f"told to stop while fetching {self._source.place.uri}")
            self._adapt(now_s)
            if now_s - told_s >= REPORT_S:
                told_s = now_s
                report(self._here())
            self._over.wait(TICK_S)

    def _here(self) -> int:
        with self._changed:
            return self._ledger.here + sum(line.at - line.piece.start for line in self._lines)

    def _adapt(self, now_s: float) -> None:
        """Wakes lines that stall, and starts as many workers as there should be and have something to do."""
        received = self.received
        with self._changed:
            for line in self._lines:
                line.look(now_s, self._pace, len(self._lines))
            unassigned = self._ledger.unassigned
            self._search.look(now_s, received, self.retries, can_tell=unassigned > 0)
            pieces = -(-unassigned // self._ledger.piece_bytes)
            for _ in range(min(self._search.workers - len(self._lines), pieces)):
                self._start()

    def _start(self) -> None:
        buffer_bytes = self._pace.buffer_bytes(len(self._lines))
        line = Line(self._source.place.uri, self._sink, buffer_bytes)
        self._lines[line] = Thread(target=self._work, args=(line,), name="fetch", daemon=True)
        self._lines[line].start()

    def _work(self, line: Line) -> None:
        try:
            while self._take(line):
                self._fetch(line)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that watches
            with self._changed:
                self._error = self._error or error
                self._over.set()

    def _take(self, line: Line) -> bool:
        """Gives the line its next piece. False if its worker is to leave: then it has left."""
        with self._changed:
            while not self._stop.is_set() and len(self._lines) <= self._search.workers:
                piece = self._ledger.take(self._search.workers) or self._split(time.monotonic())
                if piece is not None:
                    line.begin(piece)
                    return True
                self._changed.wait(TICK_S)
            self._leave(line)
        return False

    def _split(self, now_s: float) -> Piece | None:
        """Half of what another worker would need too long for, now that nothing else is left to ask for."""
        slowest = max(self._lines, key=lambda line: line.needs_s(now_s))
        half = max(self._ledger.piece_bytes, 2 * slowest.most_bytes)  # never what is being read now
        if slowest.needs_s(now_s) < SPLIT_S or slowest.piece.end - slowest.at < 2 * half:
            return None
        return slowest.cut()

    def _leave(self, line: Line) -> None:
        if self._lines.pop(line, None) is not None:
            self._of_the_left += line.received

    def _fetch(self, line: Line) -> None:
        try:
            persist(lambda: self._ask(line), lambda: line.at, self._stop, self._pace.patience_s, self._count)
        finally:
            with self._changed:
                if line in self._lines:
                    self._settle(line)

    def _count(self) -> None:
        with self._changed:
            self.retries += 1

    def _ask(self, line: Line) -> None:
        """One request for what the line's piece lacks."""
        end = line.piece.end
        body = self._source.ask(line.at, end)
        with self._source.translated(), body as response:
            if line.open(response):
                try:
                    self._read(line, direct(body, response))
                finally:
                    line.close()
                if line.at == end:
                    response.release_conn()  # for the next request

    def _read(self, line: Line, body: Reader) -> None:
        while line.at < line.piece.end and line.read(body, self._paced(line)):
            if line.at - line.piece.start >= self._ledger.piece_bytes:
                self._note(line)

    def _paced(self, line: Line) -> int:
        """How many bytes the line may read now; waits until it may."""
        if self._pace.bucket is None:
            return line.next_bytes
        count = min(line.next_bytes, self._pace.share_bytes(self._search.workers))
        pause_s = self._pace.bucket.take(count, time.monotonic())
        line.looked_at_s += pause_s
        self._stop.wait(pause_s)
        return count

    def _note(self, line: Line) -> None:
        """Enters what came so far, that a kill may cost a part of the piece only."""
        with self._changed:
            if line in self._lines:
                self._enter(line, Piece(line.at, line.piece.end))

    def _settle(self, line: Line) -> None:
        """Enters what came of the line's piece, and gives back the rest."""
        self._ledger.give_back(Piece(line.at, line.piece.end))
        self._enter(line, Piece(0, 0))

    def _enter(self, line: Line, rest: Piece) -> None:
        span = line.span
        line.go_on(rest)
        if span.start < span.end:
            self._journal.claim(span)
            wrong = self._ledger.add(span)
            if wrong is not None:
                self._journal.disclaim(wrong)
        if self._ledger.complete:
            self._stop.set()
            self._over.set()
        self._changed.notify_all()

    def _end(self) -> None:
        """Stops all workers and enters what they have."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
            lines = dict(self._lines)
        for line in lines:
            line.end()
        give_up_s = time.monotonic() + END_S
        for thread in lines.values():
            thread.join(max(0.0, give_up_s - time.monotonic()))
        with self._changed:
            for line in list(self._lines):
                self._settle(line)
                self._leave(line)
