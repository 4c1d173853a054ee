"""Tasks for tests: one small request to a tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wan_core.api.spec import Quality
from wan_core.api.status import Verdict
from wan_core.plan.memory import MemoryEstimate
from wan_core.plan.request import Request
from wan_core.plan.rungs import Rung
from wan_core.plan.techniques import Plan
from wan_core.task import Task


def build_request(model: str = "wan-tiny", **fields: Any) -> Request:
    small = {
        "model": model,
        "prompt": "a red circle moving right",
        "negative_prompt": "",
        "width": 64,
        "height": 64,
        "frames": 5,
        "fps": 8,
        "steps": 2,
        "guidance_high": 2.0,
        "guidance_low": 1.0,
        "shift": 3.0,
        "seed": 7,
    }
    return Request(**{**small, **fields})


def build_rung(model: str = "wan-tiny", device: str = "cpu", *techniques: str, gib: float = 1.0) -> Rung:
    return Rung(
        plan=Plan(model=model, device=device, techniques=techniques or ("bf16", "resident")),
        memory=MemoryEstimate(text_gib=gib, denoise_gib=gib, decode_gib=gib, host_gib=gib),
        tier=Quality.LOSSLESS,
        verdict=Verdict.FITS_NOW,
    )


def build_task(*rungs: Rung, request: Request | None = None, **fields: Any) -> Task:
    request = request or build_request()
    return Task(
        namespace="default",
        name="circle",
        uid="u-1",
        attempt=1,
        requests={r.plan.model: request.model_copy(update={"model": r.plan.model}) for r in rungs}
        or {request.model: request},
        rungs=rungs or (build_rung(request.model),),
        weights="s3://weights",
        output="s3://videos/default/u-1/1/",
        **fields,
    )


def write_task(folder: Path, task: Task) -> Path:
    path = folder / "task.json"
    path.write_text(task.model_dump_json(by_alias=True))
    return path
