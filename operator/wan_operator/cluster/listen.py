"""How the operator serves HTTP: one application on one port, quiet, and stopped gracefully."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

SHUTDOWN_S = 5.0  # for requests that are under way when the operator stops
KEEPALIVE_S = 75.0


@asynccontextmanager
async def serving(application: web.Application, port: int, host: str = "0.0.0.0") -> AsyncIterator[int]:
    """Serve while the context is open; yields the port, which the system chooses where 0 is asked for.

    Raises OSError if the port is taken.
    """
    runner = web.AppRunner(
        application,
        access_log=None,
        keepalive_timeout=KEEPALIVE_S,
        auto_decompress=False,
        shutdown_timeout=SHUTDOWN_S,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
