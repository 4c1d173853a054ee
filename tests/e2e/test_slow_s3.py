"""The wire that can be held, against a server that notes what arrives."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from tests.controlplane.process import wait_until
from tests.e2e.slow_s3 import SlowS3


class Echo:
    """Answers every chunk with itself, and remembers it."""

    def __init__(self) -> None:
        self.arrived = b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.ended = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(100):
                self.arrived += data
                connection.sendall(data)
        self.ended.set()


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.listener.close()


def connect(slow: SlowS3) -> socket.socket:
    place = urlsplit(slow.endpoint)
    return socket.create_connection((place.hostname, place.port), timeout=60)


def test_everything_passes_until_the_mark_and_all_after_the_release(echo: Echo) -> None:
    with SlowS3(echo.endpoint) as slow, connect(slow) as client:
        slow.hold(b"/video")
        client.sendall(b"HEAD /bucket")
        assert client.recv(100) == b"HEAD /bucket"
        client.sendall(b"PUT /video")
        slow.wait_held(60)
        client.sendall(b" and more")
        assert echo.arrived == b"HEAD /bucket"
        slow.release()
        wait_until(lambda: echo.arrived.endswith(b"PUT /video and more"), 60, "the held bytes do not arrive")


def test_what_is_held_of_a_client_that_goes_away_never_arrives(echo: Echo) -> None:
    with SlowS3(echo.endpoint) as slow:
        client = connect(slow)
        slow.hold()
        client.sendall(b"PUT /video")
        slow.wait_held(60)
        client.close()
        assert echo.ended.wait(60)
        slow.release()
    assert echo.arrived == b""


def test_where_only_the_mark_is_held_other_connections_go_on(echo: Echo) -> None:
    with SlowS3(echo.endpoint) as slow, connect(slow) as marked, connect(slow) as other:
        slow.hold(b"/weights", only=True)
        marked.sendall(b"GET /weights")
        slow.wait_held(60)
        other.sendall(b"HEAD /bucket")
        assert other.recv(100) == b"HEAD /bucket"
        assert echo.arrived == b"HEAD /bucket"
        slow.release()
        assert marked.recv(100) == b"GET /weights"
