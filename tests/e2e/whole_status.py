"""The whole status of the demo video, once it has succeeded: every field, and what stands in it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from tests.controlplane.client import Document
from tests.e2e.films import Films
from tests.e2e.witness import JOBS, PODS
from wan_core.api.status import Status
from wan_runner.store.manifest import read_manifest

PLAN = "wan-tiny/cpu/bf16+resident"
CPU = re.compile(r"CPU \(\d+ cores\)")
CONDITIONS = {
    ("Accepted", "True", "Valid"),
    ("Planned", "True", "PlanChosen"),
    ("Degraded", "False", "Lossless"),
    ("Running", "False", "Finished"),
    ("Scheduled", "True", "Scheduled"),
    ("Stalled", "False", "Finished"),
    ("Succeeded", "True", "Succeeded"),
    ("Failed", "False", "Succeeded"),
    ("Finished", "True", "Succeeded"),
}
OF_A_GPU = ("vramGib", "gpu", "percents", "costLow", "costHigh")
# What it cannot have: nothing failed, it is over, no prices are set, and a plan is for the CPU or for a GPU
# that is not there.
NONE = {
    "attempts.category",
    "attempts.advice",
    "progress.secondsPerStep",
    "progress.load",
    "progress.eta",
    "progress.updated",
    *(f"{part}.estimate.{field}" for part in ("plan", "ladder") for field in OF_A_GPU),
    *(f"ladder.estimate.{field}" for field in ("seconds", "secondsLow", "secondsHigh", "basis")),
    "ladder.job",
}


def assert_whole(films: Films, name: str, video: bytes) -> None:
    """`name` is examples/tiny.yaml, and `video` what lies at its output's address."""
    document = films.get(name)
    status, metadata = document["status"], document["metadata"]
    place = f"s3://videos/{films.namespace}/{metadata['uid']}/1/"
    assert set(missing(Status, status)) == NONE
    assert status["observedGeneration"] == metadata["generation"] == 1
    assert (status["phase"], status["reason"]) == ("Succeeded", "Succeeded")
    assert status["message"] == f"{place}video.mp4"
    assert (status["seed"], status["interruptions"]) == (7, 0)
    assert status["progress"] == {"stage": "Done", "step": 20, "steps": 20, "percent": 100}
    assert status["output"] == {
        "uri": f"{place}video.mp4",
        "manifest": f"{place}manifest.json",
        "sha256": hashlib.sha256(video).hexdigest(),
        "bytes": len(video),
        "width": 64,
        "height": 64,
        "frames": 17,
        "fps": 8,
    }
    (attempt,) = status["attempts"]
    check_attempt(films, name, attempt)
    check_plan(status["plan"], status["ladder"], attempt["gpu"])
    check_times(document)


def check_attempt(films: Films, name: str, attempt: Document) -> None:
    (job,) = {m.name for m in films.witness.of(JOBS, films.namespace) if m.name.startswith(name)}
    (pod,) = {
        (m.name, m.object["spec"].get("nodeName"))
        for m in films.witness.of(PODS, films.namespace)
        if m.name.startswith(name) and m.object["spec"].get("nodeName")
    }
    assert attempt["number"] == 1
    assert (attempt["job"], attempt["pod"], attempt["node"]) == (job, *pod)
    assert CPU.fullmatch(attempt["gpu"])
    assert attempt["plan"] == PLAN
    assert (attempt["outcome"], attempt["message"], attempt["refused"]) == ("Succeeded", "", [])
    assert attempt["warnings"] == []
    assert attempt["modelDigest"] == digest_of_model(films)
    assert (attempt["bytesLoaded"], attempt["bytesCached"]) == (bytes_of_model(films), 0)
    assert attempt["retries"] == 0
    assert all(0 <= seconds < 300 for seconds in attempt["seconds"].values())
    assert 0 < attempt["peakVramGib"] < 4
    assert 0 < attempt["secondsPerStep"] < 60


def bytes_of_model(films: Films) -> int:
    """What has to be loaded of the demo model: each content once."""
    return sum(
        {file["sha256"]: file["bytes"] for file in json.loads(manifest_of_model(films))["files"]}.values()
    )


def digest_of_model(films: Films) -> str:
    """The name of these very weights."""
    return read_manifest(manifest_of_model(films), "wan-tiny/manifest.json").digest()


def manifest_of_model(films: Films) -> bytes:
    """What lies beside the demo model in S3."""
    return films.bed.s3.client().get_object(Bucket="weights", Key="wan-tiny/manifest.json")["Body"].read()


def check_plan(plan: Document, ladder: list[Document], device: str) -> None:
    """The plan that ran, and the ladder that it is of: nothing but the CPU is here."""
    gpu, cpu = ladder
    assert plan == {
        "label": PLAN,
        "model": "wan-tiny",
        "precision": "bf16",
        "techniques": ["resident"],
        "tier": "lossless",
        "device": device,
        "estimate": cpu["estimate"],
    }
    assert 0 < cpu["estimate"]["hostGib"] < 4
    assert 0 < cpu["estimate"]["seconds"] < 60
    assert (cpu["plan"], cpu["tier"], cpu["verdict"]) == (PLAN, "lossless", "FitsNow")
    assert re.match(r"needs \d+\.\d GiB, ", cpu["reason"])
    assert (gpu["plan"], gpu["tier"], gpu["verdict"]) == ("wan-tiny/cuda/bf16+resident", "lossless", "Never")
    assert re.match(r"needs \d+\.\d GiB \(decode\), there is no GPU", gpu["reason"])
    assert re.match(r"a GPU with 1\.0 GiB, such as .+ GiB\)$", gpu["wouldFitIf"][0])


def check_times(document: Document) -> None:
    """They come in the order in which things happened, and say so of each condition."""
    status = document["status"]
    (attempt,) = status["attempts"]
    created = datetime.fromisoformat(document["metadata"]["creationTimestamp"])
    started, finished = (datetime.fromisoformat(attempt[key]) for key in ("started", "finished"))
    assert created <= started < finished <= datetime.now(UTC)
    told = [(c["type"], c["status"], c["reason"]) for c in status["conditions"]]
    assert (set(told), len(told)) == (CONDITIONS, len(CONDITIONS))
    since = {c["type"]: datetime.fromisoformat(c["lastTransitionTime"]) for c in status["conditions"]}
    assert {c["observedGeneration"] for c in status["conditions"]} == {1}
    assert created <= since["Accepted"] <= since["Scheduled"]
    assert finished <= since["Finished"] == since["Succeeded"]


def missing(model: type[BaseModel], document: Any, path: str = "") -> Iterator[str]:
    """The fields of the model that the document, or one of its lists' members, does not have."""
    for field, info in model.model_fields.items():
        name = info.alias or field
        if name not in document:
            yield f"{path}{name}"
            continue
        for kind in models_in(info.annotation):
            value = document[name]
            for part in value if isinstance(value, list) else [value]:
                yield from missing(kind, part, f"{path}{name}.")


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The documents of ours that a field's type speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in models_in(part)]
