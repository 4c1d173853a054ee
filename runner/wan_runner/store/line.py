"""One worker's way to the store: a connection, a buffer, and the place in the blob that it has reached.

Bytes go from the socket into the buffer, through the checksum, and into the file where they belong. Another
thread may end a line at any moment: what it waits for is shut, and once `end` has returned nothing more is
written.
"""

from __future__ import annotations

import time
from contextlib import suppress
from http.client import HTTPException
from threading import Lock
from typing import Any, Protocol

from awscrt import checksums
from urllib3.exceptions import HTTPError

from wan_core.errors import NetworkError
from wan_runner.store.chunks import Piece, Span
from wan_runner.store.pace import MIN_READ_BYTES, READ_S, Pace, choose_read
from wan_runner.store.sink import Sink

FIRST_READ_BYTES = 4 * MIN_READ_BYTES


class Reader(Protocol):
    """What fills a buffer from a connection; 0 at the end of the body."""

    def readinto(self, buffer: memoryview, /) -> int: ...


def direct(body: Reader, response: Any) -> Reader:
    """The innermost of what botocore and urllib3 wrap around http.client's response to read a body.

    urllib3 reads into bytes of its own, which it then copies into the buffer: an eighth of all CPU time
    (0.91 against 0.81 CPU-s/GB, HTTP on loopback, 4 connections, buffers of 1 MiB, CRC included).
    """
    inner: Reader = getattr(response, "_fp", body)
    return inner


class Line:
    """Fetches into `sink`, a piece at a time. `received` counts all bytes that came."""

    def __init__(self, where: str, sink: Sink, buffer_bytes: int):
        self._where, self._sink = where, sink
        self._buffer = memoryview(bytearray(buffer_bytes))
        self._read_bytes = FIRST_READ_BYTES
        self._gate = Lock()
        self._response: Any = None
        self._is_ended = False
        self.piece = Piece(0, 0)
        self.at = self.crc = self.received = 0
        self.looked_at_s, self.looked_at_bytes = 0.0, 0
        self._begun_s, self._begun_at, self._reserved = 0.0, 0, 0

    def begin(self, piece: Piece) -> None:
        """`piece` is what the line is to fetch from now on."""
        self.go_on(piece)
        self._begun_s, self._begun_at = time.monotonic(), piece.start
        self._reserved = piece.start

    def go_on(self, rest: Piece) -> None:
        """What came so far is entered elsewhere; `rest` is what remains of the piece."""
        self.piece, self.at, self.crc = rest, rest.start, 0

    def needs_s(self, now_s: float) -> float:
        """How long the rest of the piece will take, as far as can be told."""
        seconds = now_s - self._begun_s
        if seconds < READ_S:
            return 0.0
        return (self.piece.end - self.at) * seconds / max(1, self.at - self._begun_at)

    def cut(self) -> Piece:
        """Leaves the second half of what remains to another line; the open request breaks off there."""
        middle = (self.at + self.piece.end) // 2
        half, self.piece = Piece(middle, self.piece.end), Piece(self.piece.start, middle)
        return half

    @property
    def span(self) -> Span:
        """What of the piece is written."""
        return Span(self.piece.start, self.at, self.crc)

    @property
    def most_bytes(self) -> int:
        """How many bytes to read at once at most: as many as come in READ_S."""
        return min(self._read_bytes, len(self._buffer))

    @property
    def next_bytes(self) -> int:
        """How many bytes to read next."""
        room = self._reserved - self.at or self._sink.ahead_bytes
        return min(self.piece.end - self.at, room, self.most_bytes)

    def open(self, response: Any) -> bool:
        """Whether the line may read from now on."""
        with self._gate:
            self._response = response
            self.looked_at_s, self.looked_at_bytes = time.monotonic(), self.received
            return not self._is_ended

    def close(self) -> None:
        with self._gate:
            self._response = None

    def look(self, now_s: float, pace: Pace, lines: int) -> None:
        """Shuts the line if it has been too slow for the length of the window."""
        seconds, gained = now_s - self.looked_at_s, self.received - self.looked_at_bytes
        if self._response is None or seconds < pace.stall_window_s:
            return
        if pace.is_stalled(gained, seconds, lines):
            self.shut()
        self.looked_at_s, self.looked_at_bytes = now_s, self.received

    def shut(self) -> None:
        """Wakes the line if it waits for bytes: to it, the body is at its end."""
        with self._gate:
            if self._response is not None:
                with suppress(OSError, ValueError, RuntimeError):  # it came to its end by itself
                    self._response.shutdown()

    def end(self) -> None:
        """Wakes the line and lets it write no more."""
        with self._gate:
            self._is_ended = True
        self.shut()

    def read(self, body: Reader, count: int) -> bool:
        """Reads and writes up to `count` bytes. False once the line is ended. NetworkError for a cut body."""
        if self.at >= self._reserved:
            end = min(self.piece.end, self.at + self._sink.ahead_bytes)
            self._sink.reserve(self.at, end)
            self._reserved = end
        begun_s = time.monotonic()
        view = self._buffer[:count]
        try:
            got = body.readinto(view)
        except (HTTPError, HTTPException, OSError, ValueError) as error:  # ValueError: TLS that was shut
            raise NetworkError(f"{self._where}: the body broke off at byte {self.at}: {error}") from error
        self._read_bytes = choose_read(got, time.monotonic() - begun_s)
        if not got:
            raise NetworkError(f"{self._where}: the body ended at byte {self.at}, before {self.piece.end}")
        self.received += got
        with self._gate:
            if self._is_ended:
                return False
            self._sink.write(view[:got], self.at)
            self.crc = checksums.crc64nvme(view[:got], self.crc)
            self.at += got
        return True
