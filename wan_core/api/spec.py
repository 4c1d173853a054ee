"""What a user asks for: `spec` of a VideoGeneration. Bounds stand here; rules across fields in `rules`.

No field names a container image, secret, service account, node or bucket to write to: those are the
administrator's.
Types are strict, as the API server's are: "40" is not 40, 1 is not true; null is the same as absent.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, cast

from pydantic import ConfigDict, Field, Strict, StringConstraints, model_validator

from wan_core.api.model import Document

GROUP, VERSION, KIND = "wan.video", "v1alpha1", "VideoGeneration"
API_VERSION = f"{GROUP}/{VERSION}"

# Separators stand alone between letters and digits: no "..", no "//", none at an end.
MODEL_PATTERN = r"^[A-Za-z0-9]+([._:/-][A-Za-z0-9]+)*$"
RESOLUTION_PATTERN = r"^[1-9][0-9]{1,3}x[1-9][0-9]{1,3}$"
S3_PATTERN = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[A-Za-z0-9!_.*'()/ +=@,-]+$"
DURATION_PATTERN = r"^([0-9]{1,5}h([0-9]{1,5}m)?([0-9]{1,6}s)?|[0-9]{1,5}m([0-9]{1,6}s)?|[0-9]{1,6}s)$"
PRODUCT_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9 ._-]*[A-Za-z0-9])?$"
# A DNS subdomain, RFC 1123, as the API server asks of names.
NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$"

Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
Flag = Annotated[bool, Strict()]
ModelId = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=128, pattern=MODEL_PATTERN)]
Resolution = Annotated[str, StringConstraints(strict=True, max_length=9, pattern=RESOLUTION_PATTERN)]
S3Uri = Annotated[str, StringConstraints(strict=True, max_length=1100, pattern=S3_PATTERN)]
Duration = Annotated[str, StringConstraints(strict=True, max_length=16, pattern=DURATION_PATTERN)]
GpuProduct = Annotated[
    str, StringConstraints(strict=True, min_length=1, max_length=63, pattern=PRODUCT_PATTERN)
]
PriorityClass = Annotated[str, StringConstraints(strict=True, max_length=253, pattern=NAME_PATTERN)]
Text = Annotated[str, StringConstraints(strict=True, max_length=8192)]
Prompt = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=8192)]


class Quality(StrEnum):
    """The floor of quality, best first; also the tier of a plan."""

    LOSSLESS = "lossless"
    NEAR = "near"
    BALANCED = "balanced"
    TURBO = "turbo"

    @property
    def rank(self) -> int:
        """0 for lossless; a plan may run if its tier's rank is not above the floor's."""
        return list(Quality).index(self)


class ImageFit(StrEnum):
    """What to do with an input image whose aspect is not the video's."""

    REFUSE = "refuse"
    CROP = "crop"
    PAD = "pad"


class Wish(Document):
    """A part of the request. Null counts as absent, as the API server prunes it; 81.0 is 81, as in JSON."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _as_json_means_it(cls, data: Any) -> Any:
        known = {field.alias for field in cls.model_fields.values()} | set(cls.model_fields)
        if not isinstance(data, dict):
            return data
        return {key: _whole(value) for key, value in data.items() if value is not None or key not in known}


def _whole(value: object) -> object:
    exact = isinstance(value, float) and abs(value) < 2**53 and value.is_integer()
    return int(cast(float, value)) if exact else value


class Guidance(Wish):
    """Classifier-free guidance: `scale` for single-expert models, `high` and `low` for two experts."""

    scale: Number | None = Field(None, ge=1.0, le=20.0)
    """Guidance scale of a model with one transformer."""
    high: Number | None = Field(None, ge=1.0, le=20.0)
    """Guidance scale of the high-noise expert."""
    low: Number | None = Field(None, ge=1.0, le=20.0)
    """Guidance scale of the low-noise expert."""


class Fallback(Wish):
    """What may be tried when a plan fails. Memory savers need no permission; other models only if named."""

    models: list[ModelId] = Field(default_factory=list, max_length=8)
    """Models that may be used instead, in this order. None: only the one asked for."""
    max_attempts: Whole = Field(4, ge=1, le=16)
    """Attempts that may fail before the resource does; interruptions are not counted. Default 4."""


class Scheduling(Wish):
    """Where it may run, and ahead of what."""

    priority_class_name: PriorityClass | None = None
    """PriorityClass of its pods, one of those that the administrator allows. Default: the cluster's own."""
    gpu_products: list[GpuProduct] = Field(default_factory=list, max_length=16)
    """Only on GPUs whose product name is in the list, as NVIDIA-H200. Empty: on any."""


class Deadlines(Wish):
    """When to give up. Durations as 2h, 90m, 1h30m."""

    start: Duration | None = None
    """From creation to the first running attempt."""
    run: Duration | None = None
    """Of one attempt."""


class Retention(Wish):
    """How long the finished resource stays; its video in S3 stays for ever. Default: until it is deleted."""

    succeeded: Duration | None = None
    """After it succeeded, as 24h."""
    failed: Duration | None = None
    """After it failed or was cancelled."""


class Spec(Wish):
    """The request. Immutable but for retention, suspend, cancel. Absent fields take the model's defaults."""

    model: ModelId
    """Id of the catalogue, as t2v-A14B, or a legacy or official name of one of its models."""
    prompt: Prompt
    """What the video shows."""
    negative_prompt: Text | None = None
    """What to steer away from. Default: the model's own."""
    image: S3Uri | None = None
    """The first frame, for image-to-video models: s3://BUCKET/KEY, in a bucket the administrator allows."""
    image_fit: ImageFit = ImageFit.REFUSE
    """What to do with an image whose aspect is not the video's. Default refuse."""
    resolution: Resolution | None = None
    """Width x height in pixels, as 1280x720. Default: the model's own."""
    frames: Whole | None = Field(None, ge=1, le=1001)
    """Frames of the video; 4k+1 for Wan models, 1 is a still. Default: the model's own."""
    fps: Whole | None = Field(None, ge=1, le=120)
    """Frames a second of the file; changes no pixel. Default: the model's own."""
    steps: Whole | None = Field(None, ge=1, le=200)
    """Denoising steps. Default: the model's own."""
    guidance: Guidance | None = None
    """How strongly the prompt is followed. Default: the model's own."""
    shift: Number | None = Field(None, ge=0.1, le=100.0)
    """Shift of the noise schedule towards high noise. Default: the model's own."""
    seed: Whole | None = Field(None, ge=0, le=4294967295)
    """Seed of the noise. Default: derived from metadata.uid."""
    quality: Quality = Quality.LOSSLESS
    """The floor: plans that lose more are not taken. Default lossless."""
    fallback: Fallback = Field(default_factory=Fallback)
    """What may be tried when a plan fails."""
    scheduling: Scheduling = Field(default_factory=Scheduling)
    """Where it may run."""
    deadlines: Deadlines = Field(default_factory=Deadlines)
    """When to give up."""
    retention: Retention = Field(default_factory=Retention)
    """How long the finished resource stays; may be changed at any time."""
    suspend: Flag = False
    """Plan it, but run nothing; may be changed at any time."""
    cancel: Flag = False
    """End it and keep the record; may be changed at any time."""
