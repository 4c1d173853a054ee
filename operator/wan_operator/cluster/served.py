"""Which of the namespaces can be served: one that was deleted, or is yet to come, keeps no other waiting.

With a namespace its Role goes, and whoever watches there is refused for ever. So it is left out from the
start, and when that changes the process ends, to begin anew with those that there are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from wan_core.api.crd import PLURAL
from wan_core.api.spec import API_VERSION
from wan_operator.cluster.api import Api
from wan_operator.cluster.refusals import Forbidden, NotFound, Refusal

PROBE_S = 30.0
PROBES = 2  # that must agree: an API server that has just started refuses what it allows a second later

log = logging.getLogger(__name__)


async def find_served(api: Api, namespaces: Sequence[str]) -> tuple[str, ...]:
    """Those in which we may list VideoGenerations. Raises the Refusals that say nothing about that."""
    found = []
    for namespace in namespaces:
        try:
            await api.list_page(API_VERSION, namespace, PLURAL, {"limit": "1"})
        except (Forbidden, NotFound) as refusal:
            log.debug("%s", refusal.message)
            continue
        found.append(namespace)
    return tuple(found)


async def until_others(api: Api, namespaces: Sequence[str], served: Sequence[str]) -> None:
    """Returns once others of the namespaces can be served than are."""
    agreed = 0
    while agreed < PROBES:
        await asyncio.sleep(PROBE_S)
        try:
            found = await find_served(api, namespaces)
        except Refusal:
            continue
        agreed = agreed + 1 if found != tuple(served) else 0
    log.warning("other namespaces can be served than are: starting anew")
