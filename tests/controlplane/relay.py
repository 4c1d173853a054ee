"""The asyncio half of the fault proxy: passes requests on to the API server, and lets faults happen to them.

Runs in one event loop, and every method is for that loop. What a test calls is in `fault_proxy`.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDictProxy
from yarl import URL

from tests.controlplane.faults import Asked, Faults, Refusal, error_event, read_request, status_of

_NOT_PASSED_ON = {
    "host",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
    "accept-encoding",
    "date",
}
_REMEMBERED = 200_000

Asking = AbstractAsyncContextManager[aiohttp.ClientResponse]


@dataclass(frozen=True)
class Seen:
    """A request and what became of it. `status` is what the API server said, 0 if it was never asked."""

    asked: Asked
    status: int
    answered: bool  # whether the client was told that


@dataclass
class Cut:
    """The end of all talk right after the client's next `after`-th write of weight that was accepted."""

    after: int
    lose_response: bool
    write: Asked | None = None
    done: threading.Event = field(default_factory=threading.Event)

    def count(self, asked: Asked) -> bool:
        """Whether this accepted write is the one."""
        self.after -= 1
        if self.after == 0:
            self.write = asked
        return self.after == 0

    def wait(self, timeout_s: float) -> bool:
        """Whether it has come within this time."""
        return self.done.wait(timeout_s)


@dataclass(eq=False)
class Stream:
    """An open watch. Setting `ended` ends it: by an ERROR event of that code, or by a reset."""

    asked: Asked
    ended: asyncio.Future[int | None]


class Relay:
    def __init__(self, upstream: str, session: aiohttp.ClientSession, seed: int):
        self.seen: deque[Seen] = deque(maxlen=_REMEMBERED)
        self.streams: set[Stream] = set()
        self.cut: Cut | None = None
        self.faults = Faults()
        self._upstream, self._session = upstream, session
        self._chance = Random(seed)
        self._severed = False
        self._open, self._flowing = asyncio.Event(), asyncio.Event()
        self._writing = asyncio.Lock()
        self._transports: set[asyncio.BaseTransport] = set()
        self.suffer(Faults())

    def suffer(self, faults: Faults) -> None:
        """From now on, these faults."""
        self.faults = faults
        for gate, is_open in (
            (self._open, not faults.blocked),
            (self._flowing, not faults.blocked and not faults.hold_events),
        ):
            gate.set() if is_open else gate.clear()

    def sever(self, but: asyncio.BaseTransport | None = None) -> None:
        """Resets every connection that has something under way, and every one that asks from now on."""
        self._severed = True
        for transport in self._transports - {but}:
            _reset(transport)

    def restore(self) -> None:
        self._severed, self.cut = False, None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = read_request(request.method, request.path, request.query_string)
        transport = request.transport
        if transport is None:
            raise ConnectionResetError
        self._transports.add(transport)
        try:
            return await self._suffer(request, asked, transport)
        except (aiohttp.ClientError, ConnectionError):
            _reset(transport)
            return web.Response(status=502)  # it goes nowhere: the connection is gone
        finally:
            self._transports.discard(transport)

    async def _suffer(
        self, request: web.BaseRequest, asked: Asked, transport: asyncio.BaseTransport
    ) -> web.StreamResponse:
        await self._open.wait()
        if self._severed or self._chance.random() < self.faults.reset:
            self._note(asked, 0, answered=False)
            raise ConnectionResetError
        refusal = self.faults.refusal(asked, self._chance)
        if refusal:
            self._note(asked, refusal.status, answered=True)
            return _refused(refusal)
        if asked.verb == "watch":
            return await self._watch(request, asked)
        if asked.weighs and self.cut:
            async with self._writing:  # one by one, so that nothing follows the last one
                return await self._pass_on(request, asked, transport)
        return await self._pass_on(request, asked, transport)

    async def _pass_on(
        self, request: web.BaseRequest, asked: Asked, transport: asyncio.BaseTransport
    ) -> web.Response:
        body = await request.content.read()
        if self._severed:
            raise ConnectionResetError
        async with self._ask(request, body) as answer:
            content = await answer.read()
        response = web.Response(status=answer.status, body=content, headers=_passed(answer.headers))
        if asked.weighs and answer.status < 300 and self.cut and self.cut.count(asked):
            return await self._end_talk(self.cut, request, response, transport)
        await self._open.wait()
        is_lost = self._severed or self._chance.random() < self.faults.lost
        self._note(asked, answer.status, answered=not is_lost)
        if is_lost:
            raise ConnectionResetError
        return response

    async def _end_talk(
        self, cut: Cut, request: web.BaseRequest, response: web.Response, transport: asyncio.BaseTransport
    ) -> web.Response:
        """The write of `cut` was accepted: nothing follows but, if so wished, its response."""
        assert cut.write is not None
        self._note(cut.write, response.status, answered=not cut.lose_response)
        self.sever(but=None if cut.lose_response else transport)
        if cut.lose_response:
            cut.done.set()
            raise ConnectionResetError
        response.force_close()
        await response.prepare(request)
        await response.write_eof()
        cut.done.set()
        return response

    async def _watch(self, request: web.BaseRequest, asked: Asked) -> web.StreamResponse:
        async with self._ask(request, b"") as upstream:
            if upstream.status != 200:
                self._note(asked, upstream.status, answered=True)
                body = await upstream.read()
                return web.Response(status=upstream.status, body=body, headers=_passed(upstream.headers))
            response = web.StreamResponse(headers=_passed(upstream.headers))
            await response.prepare(request)
            self._note(asked, 200, answered=True)
            stream = Stream(asked, asyncio.get_running_loop().create_future())
            self.streams.add(stream)
            try:
                await self._until_ended(stream, upstream, response)
            finally:
                self.streams.discard(stream)
            return response

    async def _until_ended(
        self, stream: Stream, upstream: aiohttp.ClientResponse, response: web.StreamResponse
    ) -> None:
        """Passes events on until the server, the client or the test ends the watch."""
        passing = asyncio.create_task(self._pass_events(upstream, response))
        either: set[asyncio.Future[Any]] = {passing, stream.ended}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not stream.ended.done():
                await passing
                await response.write_eof()
                return
        finally:
            passing.cancel()
            await asyncio.gather(passing, return_exceptions=True)
        code = stream.ended.result()
        if code is None:
            raise ConnectionResetError
        await response.write(error_event(code))
        await response.write_eof()

    async def _pass_events(self, upstream: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
        """Reads on while events are held, so that the server sees a client that keeps up."""
        clock = asyncio.get_running_loop().time
        waiting: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue()
        reading = asyncio.create_task(_read_events(upstream, waiting))
        try:
            while (event := await waiting.get()) is not None:
                came, line = event
                await asyncio.sleep(came + self.faults.delay_events_s - clock())
                await self._flowing.wait()
                await response.write(line)
            await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def _note(self, asked: Asked, status: int, *, answered: bool) -> None:
        self.seen.append(Seen(asked, status, answered))

    def _ask(self, request: web.BaseRequest, body: bytes) -> Asking:
        return self._session.request(
            request.method,
            URL(self._upstream + request.path_qs, encoded=True),
            headers=_passed(request.headers),
            data=body or None,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        )


async def _read_events(
    upstream: aiohttp.ClientResponse, waiting: asyncio.Queue[tuple[float, bytes] | None]
) -> None:
    """Puts whole lines into the queue, with the time at which each came, and None at the end."""
    clock = asyncio.get_running_loop().time
    rest = b""
    try:
        async for chunk in upstream.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                waiting.put_nowait((clock(), line + b"\n"))
    finally:
        waiting.put_nowait(None)


def _passed(headers: CIMultiDictProxy[str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers.items() if name.lower() not in _NOT_PASSED_ON]


def _refused(refusal: Refusal) -> web.Response:
    after = {} if refusal.retry_after_s is None else {"Retry-After": str(refusal.retry_after_s)}
    body = json.dumps(status_of(refusal.status)).encode()
    return web.Response(
        status=refusal.status, body=body, headers={"Content-Type": "application/json", **after}
    )


def _reset(transport: asyncio.BaseTransport) -> None:
    if isinstance(transport, asyncio.Transport):
        transport.abort()
