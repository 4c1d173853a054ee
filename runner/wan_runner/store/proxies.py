"""Which way to an endpoint: directly, or by the proxies of the environment.

HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in either case, mean what they mean everywhere. On top of that a proxy
is never asked for this machine itself, and NO_PROXY may name networks (10.0.0.0/8), as in clusters.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from wan_runner.store.redact import remember

_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


def choose_proxies(endpoint: str | None, settings: Mapping[str, str]) -> dict[str, str] | None:
    """For botocore's Config: {} is none at all, None those of the environment."""
    for name, value in settings.items():
        if name.upper() in _PROXIES:
            remember(urlsplit(value).password)
    if endpoint is None:
        return None
    host = urlsplit(endpoint).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return {} if host == "localhost" else None
    excepted = settings.get("no_proxy") or settings.get("NO_PROXY") or ""
    direct = address.is_loopback or any(_holds(network.strip(), address) for network in excepted.split(","))
    return {} if direct else None


def _holds(network: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False  # a name, which urllib understands
