"""The contract between operator and runner: Task down, Progress and Result up. JSON, versioned.

A Task rides on its Job and is read once, from a file. Progress is pushed while the attempt runs and may be
lost; only the Result, the termination message of at most 4 KiB, counts.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from enum import StrEnum
from itertools import accumulate, takewhile
from typing import Annotated, Literal

from pydantic import Field

from wan_core.api.model import Document
from wan_core.api.status import Amount, Count, OutputStatus, Word
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.models import MODELS
from wan_core.errors import Category
from wan_core.phases import LoadProgress, Phase
from wan_core.plan.choose import Exclusion
from wan_core.plan.request import Request
from wan_core.plan.rungs import Rung

RESULT_MAX_BYTES = 4096
MESSAGE_BYTES, ADVICE_BYTES = 1536, 512  # of a Result that would be larger
TASK_MAX_BYTES = 65536

Seconds = Annotated[float, Field(ge=0, le=1e9)]  # 31 years: may be added to any date
IMAGE_MAX_BYTES = 64 * 2**20  # uncompressed 8-bit RGB of 20 megapixels, more than twice any 8K frame


class Task(Document):
    """One attempt: the requests by model, the rungs that this attempt may take, where things lie.

    `gpu_products`, if any, are the only GPUs that it may take, whatever the rungs know of others.
    `weights` is the prefix under which each model has a folder; `output` that of this attempt's objects.
    `bases`: of an administrator's own models, the ones of the catalogue whose architecture they have.
    """

    version: Literal[1] = 1
    namespace: str
    name: str
    uid: str
    attempt: int = Field(ge=1)
    requests: dict[str, Request]
    rungs: tuple[Rung, ...] = Field(min_length=1)
    excluded: tuple[Exclusion, ...] = ()
    gpu_products: tuple[str, ...] = ()
    weights: str
    output: str
    report_url: str | None = None
    bases: dict[str, str] | None = None

    def architecture_of(self, model: str) -> ModelCard | None:
        """The card whose architecture a model of this Task has; None if this version knows none such."""
        return MODELS.get((self.bases or {}).get(model, model))

    def digest(self) -> str:
        """SHA-256 of the canonical JSON: echoed in the Result, so that an edited Task is noticed."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()


class Stage(StrEnum):
    """What the runner is doing."""

    STARTING = "Starting"
    FETCHING = "Fetching"
    LOADING = "Loading"
    ENCODING_TEXT = "EncodingText"
    DENOISING = "Denoising"
    DECODING = "Decoding"
    ENCODING_VIDEO = "EncodingVideo"
    UPLOADING = "Uploading"


class LoadReport(Document):
    """A look at the loading of the model, as `wan_core.phases.LoadProgress` has it."""

    phase: Phase
    done: Count = 0
    total: Count = 0
    percent: float = Field(0.0, ge=0, le=100)
    rate: Amount | None = None
    rss_bytes: Count | None = None
    cgroup_bytes: Count | None = None
    device_bytes: Count | None = None

    @classmethod
    def of(cls, at: LoadProgress) -> LoadReport:
        """What of it travels: the unit follows from the phase, the time left is that of the report."""
        facts = {name: getattr(at, name) for name in cls.model_fields}
        return cls(**facts | {"percent": round(at.percent, 2), "rate": at.rate and round(at.rate, 2)})


class Progress(Document):
    """One report. `done` and `total` count steps while denoising and bytes while uploading; while the model
    is loaded they are those of `load`.
    """

    version: Literal[1] = 1
    uid: str
    attempt: int = Field(ge=1)
    stage: Stage
    done: Count = 0
    total: Count = 0
    seconds_per_step: Seconds | None = None
    eta_seconds: Seconds | None = None
    plan: Word | None = None
    device: Word | None = None
    refused: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    load: LoadReport | None = None
    time: datetime


class WeightsUse(Document):
    """What it took to have the weights on this machine. Hits and misses count files."""

    bytes_cached: Count = 0
    bytes_resumed: Count = 0
    hits: Count = 0
    misses: Count = 0
    retries: Count = 0
    evicted_files: Count = 0
    evicted_bytes: Count = 0
    seconds_waited: Seconds = 0.0


class PreparedUse(Document):
    """What of the model had been derived before."""

    hits: Count = 0
    misses: Count = 0
    seconds_saved: Seconds = 0.0


class Result(Document):
    """How an attempt ended. `category` is None exactly when the video is in S3 and was verified there.

    `engine` is what computed the transformer: wan_core, or diffusers where the reference was asked for.
    `bytes_loaded` came from S3; `seconds` are by stage, `phases` those of loading.
    """

    version: Literal[1] = 1
    uid: str
    attempt: int = Field(ge=1)
    task_digest: str
    category: Category | None = None
    message: str = ""
    advice: str = ""
    plan: Word | None = None
    device: Word | None = None
    refused: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    output: OutputStatus | None = None
    engine: Word | None = None
    model_digest: Word | None = None
    bytes_loaded: Count | None = None
    weights: WeightsUse | None = None
    prepared: PreparedUse | None = None
    peak_device_gib: Amount | None = None
    seconds_per_step: Seconds | None = None
    seconds: dict[str, Seconds] = Field(default_factory=dict)
    phases: dict[str, Seconds] = Field(default_factory=dict)

    def to_message(self) -> str:
        """ASCII JSON of at most `RESULT_MAX_BYTES`: refusals are left out first, then warnings; then texts
        are cut.
        """
        bare = self.model_copy(update={"refused": ()})
        quiet = bare.model_copy(update={"warnings": ()})
        texts = {"message": _cut(self.message, MESSAGE_BYTES), "advice": _cut(self.advice, ADVICE_BYTES)}
        tries = (json.dumps(result.to_dict(), ensure_ascii=True) for result in (self, bare, quiet))
        fitting = (text for text in tries if len(text) <= RESULT_MAX_BYTES)
        return next(fitting, None) or json.dumps(quiet.model_copy(update=texts).to_dict(), ensure_ascii=True)


def _cut(text: str, most: int) -> str:
    """The start of the text that takes at most so many bytes in ASCII JSON: a character takes up to 12."""
    sizes = accumulate(len(json.dumps(character)) - 2 for character in text)
    return text[: sum(1 for _ in takewhile(lambda size: size <= most, sizes))]
