"""What a cluster offers, asked of its API server once, with the operator's own eyes.

Needs `list` on nodes. What pods take counts if they may be listed in the whole cluster; so does what finished
videos tell of time and memory. With the operator's settings only those pods count that it sees.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from wan_core.api.crd import PLURAL
from wan_core.api.spec import API_VERSION
from wan_core.errors import AccessDenied, NetworkError
from wan_core.plan.calibration import Calibration
from wan_core.plan.inventory import Inventory
from wan_operator.cluster.api import Api, open_api
from wan_operator.cluster.connection import Connection, read_connection
from wan_operator.cluster.measured import Measured
from wan_operator.cluster.nodes import build_inventory, read_node
from wan_operator.cluster.pods import read_pod
from wan_operator.cluster.reconcile import build_terms
from wan_operator.cluster.refusals import Forbidden, NotFound, Refusal
from wan_operator.cluster.settings import (
    ClusterSettings,
    InventorySettings,
    ReportSettings,
    RunnerSettings,
    read_settings,
)
from wan_operator.terms import Terms

KUBECONFIG = Path("~/.kube/config")  # kubectl's own, where KUBECONFIG is not set
PAGE = "500"
NOTHING: Mapping[str, str] = MappingProxyType({})
LIVING = "status.phase!=Succeeded,status.phase!=Failed"
NO_PODS = "pods may not be listed: every node counts as empty"
NO_VIDEOS = "VideoGenerations may not be listed: nothing measured is counted in"


def read_cluster(
    kubeconfig: Path | None, context: str | None, settings: Path | None
) -> tuple[Inventory, Terms, tuple[str, ...]]:
    """What the nodes offer to runners, what is planned by there, and what could not be looked at.

    `settings` is the operator's file; without it, its defaults. Raises InvalidInput, AccessDenied and
    NetworkError.
    """
    known = read_settings(settings) if settings is not None else default_settings()
    connection = read_connection(environment_of(kubeconfig), context=context)
    return asyncio.run(_look(connection, known))


def default_settings() -> ClusterSettings:
    """The operator's defaults, as far as an inventory depends on them: whom it serves is unknown."""
    unread = "s3://unread"
    return ClusterSettings(
        namespaces=("unread",),
        weights=unread,
        output=unread,
        runner=RunnerSettings(image="unread"),
        inventory=InventorySettings(occupancy="cluster"),
        report=ReportSettings(url="http://unread"),
    )


def environment_of(kubeconfig: Path | None) -> Mapping[str, str]:
    """The environment, with KUBECONFIG as kubectl would have it."""
    if kubeconfig is not None:
        return {**os.environ, "KUBECONFIG": str(kubeconfig)}
    usual = KUBECONFIG.expanduser()
    if not os.environ.get("KUBECONFIG") and usual.is_file():
        return {**os.environ, "KUBECONFIG": str(usual)}
    return os.environ


def counts(pod: Mapping[str, Any], settings: ClusterSettings) -> bool:
    """Whether the operator sees what the pod takes: those of namespaces that it does not serve it may not."""
    return settings.inventory.occupancy == "cluster" or pod["metadata"]["namespace"] in settings.namespaces


async def _look(
    connection: Connection, settings: ClusterSettings
) -> tuple[Inventory, Terms, tuple[str, ...]]:
    notes: list[str] = []
    async with open_api(connection, 1, 1, lambda verb, resource, status: None) as api:
        looked = Looked(api, connection)
        nodes = [read_node(item, settings.inventory) for item in await looked.list("v1", "nodes")]
        resource = settings.inventory.gpu_resource
        taking = [
            item for item in await looked.list_if("pods", "v1", notes, NO_PODS) if counts(item, settings)
        ]
        pods = [read_pod(item, resource) for item in taking]
        videos = await looked.list_if(PLURAL, API_VERSION, notes, NO_VIDEOS)
    inventory = build_inventory([node for node in nodes if node is not None], pods, settings)
    return inventory, build_terms(settings.planning, _table(settings, videos)), tuple(notes)


def _table(settings: ClusterSettings, videos: Iterable[Mapping[str, Any]]) -> Calibration:
    """What the videos tell, as the operator takes it in."""
    measured = Measured(settings.planning.measurements, settings.catalogue)
    for video in videos:
        measured.note(video)
    return measured.table()


@dataclass(frozen=True)
class Looked:
    """Lists of a cluster."""

    api: Api
    connection: Connection

    async def list_if(
        self, plural: str, api_version: str, notes: list[str], otherwise: str
    ) -> list[dict[str, Any]]:
        """Every object of that kind; none, and a note, where they may not be listed."""
        query = {"fieldSelector": LIVING} if plural == "pods" else {}
        try:
            return await self.list(api_version, plural, query)
        except AccessDenied:
            notes.append(otherwise)
            return []

    async def list(
        self, api_version: str, plural: str, query: Mapping[str, str] = NOTHING
    ) -> list[dict[str, Any]]:
        """Every object of that kind; none of a kind that is not there. Raises AccessDenied, NetworkError."""
        return [item async for item in self._pages(api_version, plural, {**query, "limit": PAGE})]

    async def _pages(
        self, api_version: str, plural: str, asked: dict[str, str]
    ) -> AsyncIterator[dict[str, Any]]:
        while True:
            try:
                page = await self.api.list_page(api_version, None, plural, asked)
            except NotFound:  # no CRD: the operator is not installed there
                return
            except Forbidden as refusal:
                advice = f"Ask for the right to list {plural} in the whole cluster, or name GPUs with --gpus."
                raise AccessDenied(refusal.message, advice=advice) from refusal
            except Refusal as refusal:
                raise _fault(refusal, self.connection) from refusal
            for item in page.get("items") or ():
                yield item
            if not (after := (page.get("metadata") or {}).get("continue")):
                return
            asked = {**asked, "continue": after}


def _fault(refusal: Refusal, connection: Connection) -> AccessDenied | NetworkError:
    if refusal.status == 401:
        return AccessDenied(f"{connection.server}: {refusal.message}", advice="Log in to the cluster again.")
    advice = "Check that the API server of the kubeconfig can be reached from here."
    return NetworkError(f"{connection.server}: {refusal.message}", advice=advice)
