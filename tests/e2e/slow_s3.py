"""A wire between runners and S3 that can be held: from then on nothing that a client sends arrives.

TCP only, so signatures and checksums stay as they are. What was held when its client goes away never arrives.
"""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

CHUNK = 65536
LOOK_S = 0.05


class SlowS3:
    """Listens on loopback while the context is open. `endpoint` is where clients go; `answered` counts the
    bytes that they got, headers included.
    """

    def __init__(self, upstream: str) -> None:
        place = urlsplit(upstream)
        assert place.hostname is not None
        assert place.port is not None
        self._upstream = (place.hostname, place.port)
        self._mark: bytes | None = None
        self._is_only = False
        self._flows, self._stops = threading.Event(), threading.Event()
        self._held = threading.Event()
        self._flows.set()
        self._counting, self._holding = threading.Lock(), threading.Lock()
        self.answered = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stops.set()
        self._listener.close()

    def hold(self, mark: bytes = b"", *, only: bool = False) -> None:
        """Let nothing more through from the first bytes on in which a client sends `mark`; with `only`, other
        connections go on.
        """
        with self._holding:
            self._held.clear()
            self._mark, self._is_only = mark, only

    def wait_held(self, timeout_s: float) -> None:
        """Until a client sends what is held."""
        assert self._held.wait(timeout_s), f"nothing was held within {timeout_s} s"

    def release(self) -> None:
        """Let everything through again, what was held first."""
        with self._holding:
            self._mark = None
            self._flows.set()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._upstream) as server:
            threading.Thread(target=self._answer, args=(server, client), daemon=True).start()
            with suppress(OSError):
                while data := self._read(client):
                    server.sendall(data)
            _end(server)

    def _read(self, client: socket.socket) -> bytes | bytearray:
        """What the client sent and may pass; empty once it is gone, whatever was held of it."""
        data = bytearray(client.recv(CHUNK))
        with self._holding:  # else what was just released could be held again, for ever
            is_marked = self._mark is not None and self._mark in data
            if is_marked:
                self._flows.clear()
        while data and not self._flows.is_set() and (is_marked or not self._is_only):
            self._held.set()
            if self._stops.is_set():
                return b""
            if select.select([client], [], [], LOOK_S)[0]:
                more = client.recv(CHUNK)
                if not more:
                    return b""
                data += more
        return data

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(CHUNK):
                with self._counting:
                    self.answered += len(data)
                client.sendall(data)
        _end(client)


def _end(connection: socket.socket) -> None:
    """Also where another thread waits for it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
