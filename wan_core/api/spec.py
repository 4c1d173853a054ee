"""What a user asks for: `spec` of a VideoGeneration. Bounds stand here; rules across fields in `rules`.

No field names an image, bucket to write to, secret, service account or node: those are the administrator's.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from wan_core.api.model import Document

GROUP, VERSION, KIND = "wan.video", "v1alpha1", "VideoGeneration"
API_VERSION = f"{GROUP}/{VERSION}"

ModelId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$")]
Resolution = Annotated[str, StringConstraints(max_length=9, pattern=r"^[1-9][0-9]{1,3}x[1-9][0-9]{1,3}$")]
S3Uri = Annotated[
    str,
    StringConstraints(max_length=1100, pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[A-Za-z0-9!_.*'()/ +=@,-]+$"),
]
Duration = Annotated[str, StringConstraints(max_length=16, pattern=r"^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?$")]
Text = Annotated[str, StringConstraints(max_length=8192)]


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


class Guidance(Document):
    """Classifier-free guidance: `scale` for single-expert models, `high` and `low` for two experts."""

    scale: float | None = Field(None, ge=1.0, le=20.0)
    high: float | None = Field(None, ge=1.0, le=20.0)
    low: float | None = Field(None, ge=1.0, le=20.0)


class Fallback(Document):
    """What may be tried when a plan fails. Memory savers need no permission; other models only if named."""

    models: list[ModelId] = Field(default_factory=list, max_length=8)
    max_attempts: int = Field(4, ge=1, le=16)


class Scheduling(Document):
    """Where it may run: only on GPUs whose product name is in the list (empty: any)."""

    gpu_products: list[Annotated[str, StringConstraints(min_length=1, max_length=63)]] = Field(
        default_factory=list, max_length=16
    )


class Deadlines(Document):
    """`start`: from creation to the first running attempt; `run`: of one attempt. Durations as `2h`, `90m`."""

    start: Duration | None = None
    run: Duration | None = None


class Spec(Document):
    """The request. Immutable, except suspend and cancel. Absent fields take the model's own defaults."""

    model: ModelId
    prompt: Annotated[str, StringConstraints(min_length=1, max_length=8192)]
    negative_prompt: Text | None = None
    image: S3Uri | None = None
    image_fit: ImageFit = ImageFit.REFUSE
    resolution: Resolution | None = None
    frames: int | None = Field(None, ge=1, le=1001)
    fps: int | None = Field(None, ge=1, le=120)
    steps: int | None = Field(None, ge=1, le=200)
    guidance: Guidance | None = None
    shift: float | None = Field(None, ge=0.1, le=100.0)
    seed: int | None = Field(None, ge=0, le=4294967295)
    quality: Quality = Quality.LOSSLESS
    fallback: Fallback = Field(default_factory=Fallback)
    scheduling: Scheduling = Field(default_factory=Scheduling)
    deadlines: Deadlines = Field(default_factory=Deadlines)
    suspend: bool = False
    cancel: bool = False
