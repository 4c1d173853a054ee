"""The Job of one attempt, as a document. Pure."""

from __future__ import annotations

from typing import Any

from wan_core.api.spec import Spec
from wan_core.api.status import Metadata
from wan_core.task import Task
from wan_operator.cluster.settings import ClusterSettings


def build_job(metadata: Metadata, task: Task, settings: ClusterSettings, spec: Spec) -> dict[str, Any]:
    """The Job that runs `task` for the resource `metadata`."""
    raise NotImplementedError
