"""Stands between one client and the API server, and does to their talk what a test asks for.

It ends the client's TLS with a certificate of the cluster's authority and passes the bearer token on, so the
API server sees the client's own identity. Watches pass event by event. Client certificates are not passed on,
and neither are exec, attach and port-forward.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import aiohttp
from aiohttp import web

from tests.controlplane import commands
from tests.controlplane.control_plane import ControlPlane
from tests.controlplane.faults import Faults
from tests.controlplane.relay import Cut, Relay, Seen

Answer = TypeVar("Answer")


class FaultProxy:
    """Serves on `with`, in a thread of its own. All methods are for the test's thread."""

    def __init__(self, control_plane: ControlPlane, seed: int = 0):
        self.ca = control_plane.ca
        self._upstream, self._folder, self._seed = control_plane.url, control_plane.folder, seed
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._port = self._socket.getsockname()[1]
        self.url = f"https://127.0.0.1:{self._port}"
        self._serving = control_plane.certificates.serving(f"fault-proxy-{self._port}")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(120)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(120)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def kubeconfig(self, token_file: Path) -> Path:
        """A kubeconfig that leads through here, with the token that lies in this file."""
        path = self._folder / f"through-{self._port}-{token_file.name}.kubeconfig"
        path.write_text(commands.kubeconfig(self.url, self.ca, {"tokenFile": str(token_file)}))
        return path

    @property
    def seen(self) -> Sequence[Seen]:
        """Every request that was made, in the order in which they ended."""
        return self._call(lambda: tuple(self._relay.seen))

    @property
    def faults(self) -> Faults:
        return self._relay.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._call(lambda: self._relay.suffer(faults))

    @contextmanager
    def during(self, faults: Faults) -> Iterator[None]:
        """These faults instead of those that were, and then those again."""
        before, self.faults = self.faults, faults
        try:
            yield
        finally:
            self.faults = before

    def watches(self, resource: str = "") -> int:
        """How many watches (of this resource, if one is named) are open."""
        return self._call(lambda: sum(resource in ("", s.asked.resource) for s in self._relay.streams))

    def end_watches(self, code: int | None = None, resource: str = "") -> int:
        """Ends open watches by an ERROR event of this code, or without one by a reset. Returns how many."""

        def end() -> int:
            streams = [s for s in self._relay.streams if resource in ("", s.asked.resource)]
            for stream in streams:
                if not stream.ended.done():
                    stream.ended.set_result(code)
            return len(streams)

        return self._call(end)

    def cut_after(self, writes: int, *, lose_response: bool = False) -> Cut:
        """Cuts the client off right after its next `writes`-th write of weight that is accepted.

        With `lose_response` it never hears of that write; otherwise it does, and of nothing after it.
        Wait for the cut, kill the client, then `restore()`.
        """
        cut = Cut(writes, lose_response)
        self._call(lambda: setattr(self._relay, "cut", cut))
        return cut

    def sever(self) -> None:
        """Cuts the client off now: open connections are reset, and so is every new request."""
        self._call(self._relay.sever)

    def restore(self) -> None:
        """Ends a cut, whether it came or not."""
        self._call(self._relay.restore)

    def _call(self, work: Callable[[], Answer]) -> Answer:
        async def run() -> Answer:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(120)

    async def _open(self) -> None:
        trust = ssl.create_default_context(cafile=str(self.ca))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trust, limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            auto_decompress=False,
        )
        self._relay = Relay(self._upstream, self._session, self._seed)
        ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ours.load_cert_chain(self._serving.certificate, self._serving.key)
        server = web.Server(
            self._relay.handle, handler_cancellation=True, access_log=None, auto_decompress=False
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.SockSite(self._runner, self._socket, ssl_context=ours).start()

    async def _close(self) -> None:
        self._relay.sever()
        await self._runner.cleanup()
        await self._session.close()
