"""Before anything is watched: the CRD must be there, and it must know every field that we write.

Asked is what the API server publishes (OpenAPI v3): by that same schema it types a server-side apply, and an
apply with one unknown field is refused whole. A dry run would show the first unknown field only, and nothing
at all in a cluster without a VideoGeneration.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from wan_core.api.crd import PLURAL, build_crd
from wan_core.api.spec import API_VERSION, GROUP, KIND, VERSION
from wan_operator.cluster.api import Api
from wan_operator.cluster.refusals import NotFound, Refusal
from wan_operator.cluster.served import find_served

CRD_PATIENCE_S = 120.0  # for the CRD and the API server: installers apply both in any order
SCHEMA_PATIENCE_S = 20.0  # the schema is published some seconds after the CRD changed
POLL_S = 1.0
CRD = f"{PLURAL}.{GROUP}"

log = logging.getLogger(__name__)


class NotReady(Exception):
    """The operator cannot work on this cluster; the message says what to do."""


async def wait_for_crd(api: Api, patience_s: float) -> None:
    """Return once the API server serves the CRD and its status. Raises NotReady after `patience_s`."""
    deadline = asyncio.get_running_loop().time() + patience_s
    told = ""
    while (missing := await _missing(api)) is not None:
        if asyncio.get_running_loop().time() > deadline:
            raise NotReady(f"{missing}. Install it: helm upgrade --install with crds.enabled=true")
        if missing != told:
            log.warning("waiting for up to %.0f s: %s", patience_s, missing)
            told = missing
        await asyncio.sleep(POLL_S)


async def check_schema(api: Api, patience_s: float) -> None:
    """Return if the CRD on the cluster knows our status. Raises NotReady that names what it lacks."""
    ours = set(paths_of(build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "", "status"))
    deadline = asyncio.get_running_loop().time() + patience_s
    told = False
    while lacking := sorted(ours - await _published(api)):
        if not told:
            log.warning("waiting for up to %.0f s for the CRD to have %s", patience_s, ", ".join(lacking[:3]))
            told = True
        if asyncio.get_running_loop().time() > deadline:
            names = ", ".join(lacking[:10]) + (f" and {len(lacking) - 10} more" if len(lacking) > 10 else "")
            raise NotReady(
                f"the CRD {CRD} on this cluster is older than this operator: it lacks {names}. Bring both to "
                "one version: helm upgrade with crds.enabled=true, or kubectl apply --server-side the new CRD"
            )
        await asyncio.sleep(POLL_S)


async def wait_for_namespaces(api: Api, namespaces: Sequence[str], patience_s: float) -> tuple[str, ...]:
    """Those that can be served: one at least. Raises NotReady after `patience_s`."""
    deadline = asyncio.get_running_loop().time() + patience_s
    while not (served := await _served(api, namespaces)):
        if asyncio.get_running_loop().time() > deadline:
            raise NotReady(f"none of the namespaces {', '.join(namespaces)} is there with the chart's Role")
        await asyncio.sleep(POLL_S)
    return served


def paths_of(schema: Mapping[str, Any], path: str, *only: str) -> Iterator[str]:
    """Every property path below an OpenAPI schema, as status.attempts[].number; at the top `only` these."""
    for name, child in (schema.get("properties") or {}).items():
        if only and name not in only:
            continue
        below = f"{path}.{name}".removeprefix(".")
        yield below
        yield from paths_of(child, below)
    if isinstance(items := schema.get("items"), Mapping):
        yield from paths_of(items, f"{path}[]")


async def _missing(api: Api) -> str | None:
    """What discovery lacks, None if nothing."""
    try:
        served = await api.get(f"/apis/{API_VERSION}", "discovery")
    except NotFound:
        return f"the CRD {CRD} is not installed"
    except Refusal as refusal:
        return f"the API server cannot be asked: {refusal.message}"
    names = {resource.get("name") for resource in served.get("resources") or ()}
    return None if {PLURAL, f"{PLURAL}/status"} <= names else f"the CRD {CRD} has no {VERSION} with a status"


async def _served(api: Api, namespaces: Sequence[str]) -> tuple[str, ...]:
    try:
        return await find_served(api, namespaces)
    except Refusal as refusal:
        log.warning("looking at the namespaces: %s", refusal.message)
        return ()


async def _published(api: Api) -> set[str]:
    """The status paths of the schema that the API server publishes; empty while there is none."""
    try:
        document = await api.get(f"/openapi/v3/apis/{API_VERSION}", "openapi")
    except Refusal as refusal:
        log.warning("reading the published schema: %s", refusal.message)
        return set()
    ours = {"group": GROUP, "kind": KIND, "version": VERSION}
    for schema in document.get("components", {}).get("schemas", {}).values():
        if ours in schema.get("x-kubernetes-group-version-kind", ()):
            return set(paths_of(schema, "", "status"))
    return set()
