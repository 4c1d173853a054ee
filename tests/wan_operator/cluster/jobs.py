"""Tasks and Jobs for tests: what `decide` would carry on these nodes, and the Job that is built of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.wan_operator.cluster.documents import H200, node_document, settings_of
from tests.wan_operator.worlds import UID, spec_of
from wan_core.api.spec import Spec
from wan_core.api.status import Metadata
from wan_core.plan.choose import Exclusion
from wan_core.plan.inventory import Inventory
from wan_core.plan.ladder import build_ladder
from wan_core.plan.request import resolve_request
from wan_core.plan.rungs import Rung
from wan_core.task import Task
from wan_operator.cluster.job import build_job
from wan_operator.cluster.nodes import build_inventory, read_node
from wan_operator.cluster.settings import ClusterSettings
from wan_operator.pod_shape import carry

METADATA = Metadata(name="corgi", namespace="wan-video", uid=UID)


def inventory_of(*documents: dict[str, Any], settings: ClusterSettings | None = None) -> Inventory:
    """What these nodes offer while nothing runs there."""
    settings = settings or settings_of()
    facts = [read_node(document, settings.inventory) for document in documents]
    return build_inventory([node for node in facts if node is not None], (), settings)


def rungs_on(inventory: Inventory, **spec: Any) -> tuple[Rung, ...]:
    """The plans of a request that fit there, best first."""
    wanted = spec_of(**spec)
    request = resolve_request(wanted, UID)
    return build_ladder([request], inventory, tuple(wanted.scheduling.gpu_products)).runnable


def task_of(
    rungs: tuple[Rung, ...], excluded: tuple[Exclusion, ...] = (), spec: Spec | None = None, attempt: int = 1
) -> Task:
    """A Task that carries these rungs."""
    spec = spec or spec_of()
    request = resolve_request(spec, UID)
    return Task(
        namespace=METADATA.namespace,
        name=METADATA.name,
        uid=METADATA.uid,
        attempt=attempt,
        requests={request.model: request},
        rungs=rungs,
        excluded=excluded,
        gpu_products=tuple(spec.scheduling.gpu_products),
        weights="s3://weights",
        output="s3://videos/wan-video/u/1/",
        report_url="http://wan-operator.wan-system.svc:8081/v1/progress",
    )


def job_of(
    settings: ClusterSettings | None = None,
    metadata: Metadata = METADATA,
    nodes: Sequence[dict[str, Any]] = (node_document(labels=H200),),
    **spec: Any,
) -> dict[str, Any]:
    """The Job of the first attempt on these nodes."""
    inventory = inventory_of(*nodes)
    wanted = spec_of(**spec)
    task = task_of(carry(rungs_on(inventory, **spec), inventory), spec=wanted)
    return build_job(metadata, task, settings or settings_of(), wanted)
