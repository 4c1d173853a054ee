"""What an attempt is given: its name, its place in S3, its Task. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence

from wan_core.api.status import Metadata
from wan_core.plan.choose import Exclusion
from wan_core.plan.request import Request
from wan_core.plan.rungs import Rung
from wan_core.task import Task
from wan_operator.world import World

NAME_LIMIT = 63  # a label value and a DNS label: both name Jobs and pods


def job_name(metadata: Metadata, number: int) -> str:
    """A DNS label, unique for (namespace, uid, attempt): `<name, cut>-<8 digits of the uid>-<attempt>`."""
    digest = hashlib.sha256(metadata.uid.encode()).hexdigest()[:8]
    tail = f"-{digest}-{number}"
    stem = re.sub(r"[^a-z0-9-]+", "-", metadata.name.lower()).strip("-")[: NAME_LIMIT - len(tail)].rstrip("-")
    return (stem or "video") + tail


def output_prefix(metadata: Metadata, root: str, number: int) -> str:
    """Where an attempt writes: no other attempt of any resource, past or future, has this prefix."""
    return f"{root.rstrip('/')}/{metadata.namespace}/{metadata.uid}/{number}/"


def build_task(
    world: World,
    requests: Sequence[Request],
    rungs: Sequence[Rung],
    exclusions: Sequence[Exclusion],
    number: int,
) -> Task:
    """The Task of attempt `number`: the rungs it may take, and the requests of the models that they name."""
    models, labels = {r.plan.model for r in rungs}, {r.plan.label for r in rungs}
    cards = (world.settings.models[model] for model in sorted(models))
    return Task(
        namespace=world.metadata.namespace,
        name=world.metadata.name,
        uid=world.metadata.uid,
        attempt=number,
        requests={r.model: r for r in requests if r.model in models},
        rungs=tuple(rung.bare() for rung in rungs),
        excluded=tuple(e for e in exclusions if e.plan in labels),
        gpu_products=world.gpu_products,
        weights=world.settings.weights,
        output=output_prefix(world.metadata, world.settings.output, number),
        report_url=world.settings.report_url,
        bases={card.id: card.weights_of for card in cards if card.weights_of} or None,
    )


def task_bytes(task: Task) -> int:
    """The size of the Task as it rides on its Job: UTF-8 JSON."""
    return len(json.dumps(task.to_dict(), ensure_ascii=False).encode())
