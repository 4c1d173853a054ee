"""Jobs and pods as a test writes them down, and the attempts that the operator sees in them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.wan_operator.worlds import NOW
from wan_operator.cluster.attempts import observe_attempts
from wan_operator.cluster.pods import JobFacts, PodFacts, read_job, read_pod
from wan_operator.world import Observed

Document = dict[str, Any]
READY = {"gpu-1": True}
SILENT = {"gpu-1": False}


def facts_of(jobs: list[Document], pods: list[Document]) -> tuple[list[JobFacts], list[PodFacts]]:
    return [job for d in jobs if (job := read_job(d)) is not None], [read_pod(d) for d in pods]


def observe(
    job: Document | None,
    *pods: Document,
    nodes: dict[str, bool] = READY,
    explanations: dict[str, str] | None = None,
) -> tuple[Observed, datetime | None]:
    """The one attempt that these show, and when to look again."""
    jobs, found = facts_of([job] if job is not None else [], list(pods))
    (attempt,), again = observe_attempts(jobs, found, nodes, explanations or {}, NOW)
    return attempt, again
