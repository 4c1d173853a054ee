"""httpGet probes on 127.0.0.1. Other kinds of probe are refused, never taken as passed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp

from tests.controlplane.kubelet_api import Document
from tests.controlplane.kubelet_nodes import ADDRESS

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def find_port(container: Document, port: int | str) -> int:
    """A port by number or by its name in the container's ports."""
    if isinstance(port, int):
        return port
    named = {p.get("name"): p["containerPort"] for p in container.get("ports", ())}
    return int(named[port])


async def passes(http: aiohttp.ClientSession, container: Document, probe: Document) -> str | None:
    """None if the probe succeeds, else why not, in the kubelet's words."""
    get = probe["httpGet"]
    scheme, path = get.get("scheme", "HTTP").lower(), get.get("path", "/")
    url = f"{scheme}://{ADDRESS}:{find_port(container, get['port'])}{path}"
    timeout = aiohttp.ClientTimeout(total=probe.get("timeoutSeconds", 1))
    try:
        async with http.get(url, timeout=timeout, ssl=False) as response:
            if 200 <= response.status < 400:
                return None
            return f"HTTP probe failed with statuscode: {response.status}"
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return f'Get "{url}": {str(error) or type(error).__name__}'


async def watch(
    container: Document, kind: str, tell: Callable[[bool, str], None], until_first_success: bool = False
) -> None:
    """Probe for ever; `tell(good, why)` at each change of mind, as the thresholds say."""
    probe = container[kind]
    failures_needed, successes_needed = probe.get("failureThreshold", 3), probe.get("successThreshold", 1)
    await asyncio.sleep(probe.get("initialDelaySeconds", 0))
    failures = successes = 0
    async with aiohttp.ClientSession() as http:
        while True:
            why = await passes(http, container, probe)
            failures, successes = (0, successes + 1) if why is None else (failures + 1, 0)
            if successes >= successes_needed:
                tell(True, "")
                if until_first_success:
                    return
            elif failures >= failures_needed:
                tell(False, why or "")
            await asyncio.sleep(probe.get("periodSeconds", 10))
