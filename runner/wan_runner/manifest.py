"""The manifest beside a video: everything that is needed to know how it was made, and to make it again."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from wan_core.api.status import OutputStatus
from wan_core.task import Task
from wan_runner.bind import Bound
from wan_runner.result import Record

PACKAGES = ("wan-operator", "torch", "diffusers", "transformers", "av")


def build_manifest(
    task: Task,
    bound: Bound,
    record: Record,
    output: OutputStatus,
    *,
    recipe: Mapping[str, Any],
    image: Mapping[str, Any] | None,
    prompt_tokens: int,
    prompt_cut: bool,
) -> dict[str, Any]:
    """JSON-ready. Times in seconds by stage (without the upload, which is still to come), memory in GiB.

    `recipe` says how the transformer was computed, `image` what the user's was and what was done to it.
    """
    plan = bound.rung.plan
    return {
        "version": 1,
        "resource": {
            "namespace": task.namespace,
            "name": task.name,
            "uid": task.uid,
            "attempt": task.attempt,
        },
        "taskDigest": record.task_digest,
        "request": task.requests[plan.model].to_dict(),
        "imageSha256": image and image["sha256"],
        "image": image,
        "promptTokens": prompt_tokens,
        "promptCut": prompt_cut,
        "model": {"id": plan.model, "digest": record.known["model_digest"]},
        "plan": {
            "label": plan.label,
            "techniques": list(plan.techniques),
            "tier": plan.tier.value,
            "estimate": bound.rung.memory.to_dict(),
        },
        "refused": list(bound.refused),
        "engine": dict(recipe),
        "device": bound.device.to_dict(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "seconds": dict(record.seconds),
        "secondsPerStep": record.mean_seconds_per_step,
        "peakDeviceGib": record.known["peak_device_gib"],
        "output": output.to_dict(),
    }
