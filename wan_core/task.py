"""The contract between operator and runner: Task down, Progress and Result up. JSON, versioned.

A Task rides on its Job and is read once, from a file. Progress is pushed while the attempt runs and may be
lost; only the Result, the termination message of at most 4 KiB, counts.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from wan_core.api.model import Document
from wan_core.api.status import Amount, Count, OutputStatus, Word
from wan_core.errors import Category
from wan_core.plan.choose import Exclusion
from wan_core.plan.ladder import Rung
from wan_core.plan.request import Request

RESULT_MAX_BYTES = 4096
TASK_MAX_BYTES = 65536

Seconds = Annotated[float, Field(ge=0, le=1e9)]  # 31 years: may be added to any date
IMAGE_MAX_BYTES = 64 * 2**20  # uncompressed 8-bit RGB of 20 megapixels, more than twice any 8K frame


class Task(Document):
    """One attempt: the requests by model, the rungs that this attempt may take, where things lie.

    `gpu_products`, if any, are the only GPUs that it may take, whatever the rungs know of others.
    `weights` is the prefix under which each model has a folder; `output` that of this attempt's objects.
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


class Progress(Document):
    """One report. `done` and `total` count steps while denoising and bytes while fetching or uploading."""

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
    time: datetime


class Result(Document):
    """How an attempt ended. `category` is None exactly when the video is in S3 and was verified there.

    `engine` is what computed the transformer: wan_core, or diffusers where the reference was asked for.
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
    output: OutputStatus | None = None
    engine: Word | None = None
    bytes_loaded: Count | None = None
    peak_device_gib: Amount | None = None
    seconds_per_step: Seconds | None = None
    seconds: dict[str, Seconds] = Field(default_factory=dict)

    def to_message(self) -> str:
        """ASCII JSON of at most `RESULT_MAX_BYTES`: the refusals are left out first, then texts are cut."""
        bare = self.model_copy(update={"refused": ()})
        # The message may quote a user: an escaped character takes up to 12 bytes. The advice is ours.
        short = bare.model_copy(update={"message": self.message[:200], "advice": self.advice[:256]})
        texts = (json.dumps(result.to_dict(), ensure_ascii=True) for result in (self, bare))
        fitting = (text for text in texts if len(text) <= RESULT_MAX_BYTES)
        return next(fitting, None) or json.dumps(short.to_dict(), ensure_ascii=True)
