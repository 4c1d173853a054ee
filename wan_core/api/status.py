"""What became of a request: `status` of a VideoGeneration, and the whole resource.

Written by the operator alone. Every list is bounded; texts are cut by whoever fills them in.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from wan_core.api.conditions import Condition
from wan_core.api.model import Document
from wan_core.api.spec import NAME_PATTERN, Quality, Spec

LINE_MAX = 1024  # characters
MESSAGE_MAX = 4096  # characters
WORD_MAX = 253  # characters: as long as a DNS name
RUNGS_MAX = 12
CURES_MAX = 12
NOTES_MAX = 4
REFUSALS_MAX = 12
WARNINGS_MAX = 4
CAUTIONS_MAX = 8
ATTEMPTS_MAX = 36  # 15 failures (one less than the largest maxAttempts), 20 interruptions, and the last one

Line = Annotated[str, StringConstraints(max_length=LINE_MAX)]
Word = Annotated[str, StringConstraints(max_length=WORD_MAX)]
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]  # exact in every JSON reader
Amount = Annotated[float, Field(ge=0, le=1e12)]  # GiB or seconds

# A DNS label, RFC 1123, as the API server asks of namespaces.
NAMESPACE_PATTERN = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"


class Phase(StrEnum):
    """One word for people; conditions are for programs."""

    PENDING = "Pending"
    PLANNED = "Planned"
    QUEUED = "Queued"
    STARTING = "Starting"
    LOADING = "Loading"
    RUNNING = "Running"
    UPLOADING = "Uploading"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    SUSPENDED = "Suspended"

    @property
    def finished(self) -> bool:
        return self in (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED)


class Verdict(StrEnum):
    """Whether a plan fits the inventory."""

    FITS_NOW = "FitsNow"
    FITS_LATER = "FitsLater"
    NEVER = "Never"


Outcome = Literal["Running", "Succeeded", "Failed", "Interrupted", "Cancelled"]


class PhasePercents(Document):
    """Peak of each phase as a share of the memory of the GPU that the estimate is for."""

    text: Amount
    denoise: Amount
    decode: Amount


class EstimateStatus(Document):
    """Memory in GiB (peak on the device, peak of the host), seconds for the whole video and what they cost.

    `seconds` is the middle of `secondsLow` to `secondsHigh`; `basis` says how well they are known: measured,
    published or unmeasured. `gpu` is the product that all of it is for. A cost is there where prices are set.
    """

    vram_gib: Amount | None = None
    host_gib: Amount
    gpu: Word | None = None
    percents: PhasePercents | None = None
    seconds: Amount | None = None
    seconds_low: Amount | None = None
    seconds_high: Amount | None = None
    basis: Word | None = None
    cost_low: Amount | None = None
    cost_high: Amount | None = None


class PlanStatus(Document):
    """The plan in force: what was chosen, where, and with what estimate.

    `label` is the plan as one word, as it stands in the ladder and the attempts.
    """

    label: Word = ""
    model: Word
    precision: Word
    techniques: list[Word] = Field(default_factory=list, max_length=16)
    tier: Quality
    device: Word
    estimate: EstimateStatus


class RungStatus(Document):
    """One rung of the ladder: a plan, its estimate, and what stands in its way.

    Rungs of one `job` ride on one Job; 1 is made first. `notes` say what was corrected by measurements.
    """

    plan: Word
    tier: Quality
    estimate: EstimateStatus
    verdict: Verdict
    reason: Line = ""
    would_fit_if: list[Line] = Field(default_factory=list, max_length=CURES_MAX)
    notes: list[Line] = Field(default_factory=list, max_length=NOTES_MAX)
    job: int | None = Field(None, ge=1, le=RUNGS_MAX)


class StageSeconds(Document):
    """How long an attempt was in each stage; those that it never came to are absent."""

    starting: Amount | None = None
    fetching: Amount | None = None
    loading: Amount | None = None
    encoding_text: Amount | None = None
    denoising: Amount | None = None
    decoding: Amount | None = None
    encoding_video: Amount | None = None
    uploading: Amount | None = None


class AttemptStatus(Document):
    """One Job (or local process) and how it ended.

    `bytesLoaded` came from S3, `bytesCached` were on the node already; `retries` counts what S3 had to be
    asked for again; `modelDigest` names the very weights.
    """

    number: int = Field(ge=1, le=10000)
    job: Word
    pod: Word | None = None
    node: Word | None = None
    gpu: Word | None = None
    plan: Word | None = None
    started: datetime | None = None
    finished: datetime | None = None
    outcome: Outcome = "Running"
    category: Word | None = None
    message: Line = ""
    advice: Line | None = None
    refused: list[Line] = Field(default_factory=list, max_length=REFUSALS_MAX)
    warnings: list[Line] = Field(default_factory=list, max_length=WARNINGS_MAX)
    model_digest: Word | None = None
    bytes_loaded: Count | None = None
    bytes_cached: Count | None = None
    retries: Count | None = None
    peak_vram_gib: Amount | None = None
    seconds_per_step: Amount | None = None
    seconds: StageSeconds | None = None


class LoadStatus(Document):
    """Where the loading of the model stands: its phase, how much of that is done, and the memory in use.

    `rate` is in units (bytes or items) a second.
    """

    phase: Word
    done: Count = 0
    total: Count = 0
    unit: Word
    rate: Amount | None = None
    rss_bytes: Count | None = None
    cgroup_bytes: Count | None = None
    vram_bytes: Count | None = None


class ProgressStatus(Document):
    """Where the running attempt stands. `percent` is of loading until the model is there, then of denoising.

    `eta` is when that ends at the present rate: the phase of loading, or denoising.
    """

    stage: Word
    step: Count = 0
    steps: Count = 0
    percent: int = Field(0, ge=0, le=100)
    seconds_per_step: Amount | None = None
    load: LoadStatus | None = None
    eta: datetime | None = None
    updated: datetime | None = None


class OutputStatus(Document):
    """The video that was made, where it lies and what it is."""

    uri: Line
    manifest: Line | None = None
    sha256: Word | None = None
    bytes: Count | None = None
    width: int = Field(ge=1, le=9999)
    height: int = Field(ge=1, le=9999)
    frames: int = Field(ge=1, le=1001)
    fps: int = Field(ge=1, le=120)


class Status(Document):
    """The whole story of a resource, fallbacks included.

    `warnings` tell what is correct in the request or its plan, but slow or poor; what came up while it ran
    stands with the attempts.
    """

    observed_generation: Count | None = None
    phase: Phase = Phase.PENDING
    reason: Word = ""
    message: Annotated[str, StringConstraints(max_length=MESSAGE_MAX)] = ""
    conditions: list[Condition] = Field(default_factory=list, max_length=16)
    warnings: list[Line] = Field(default_factory=list, max_length=CAUTIONS_MAX)
    plan: PlanStatus | None = None
    ladder: list[RungStatus] = Field(default_factory=list, max_length=RUNGS_MAX)
    attempts: list[AttemptStatus] = Field(default_factory=list, max_length=ATTEMPTS_MAX)
    interruptions: int = Field(0, ge=0, le=1000)
    progress: ProgressStatus | None = None
    output: OutputStatus | None = None
    seed: int | None = Field(None, ge=0, le=4294967295)


class Metadata(Document):
    """The part of ObjectMeta that we read; the rest is carried by the API server and ignored here."""

    model_config = ConfigDict(extra="ignore")

    name: Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=NAME_PATTERN)]
    namespace: Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=NAMESPACE_PATTERN)] = (
        "default"
    )
    uid: Annotated[str, StringConstraints(min_length=1, max_length=128)] = ""
    generation: int = 1
    creation_timestamp: datetime | None = None


class VideoGeneration(Document):
    """One requested video."""

    api_version: Literal["wan.video/v1alpha1"]
    kind: Literal["VideoGeneration"]
    metadata: Metadata
    spec: Spec
    status: Status = Field(default_factory=Status)
