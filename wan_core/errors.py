"""Every way in which a video can fail: one tree, one table.

A category is what the rest of the project acts on: it names the exit code of the runner, whether the same
attempt may simply be tried again, whether another plan could avoid the failure, and what a person can do.

WanError
├── InvalidInput            64  the request is wrong; only its author can mend it
├── IntegrityError          65  bytes are not the bytes that were published
├── ModelNotFound           66  no such model, or its weights are not where they should be
├── NetworkError            69  S3 or the network did not answer
├── InternalError           70  our own bug
├── DeviceOutOfMemory       71  the GPU's memory did not suffice
├── HostOutOfMemory         72  the host's memory did not suffice (137 with OOMKilled is this too)
├── InsufficientDiskSpace   73  no room for weights or output
├── IncompatibleHardware    74  no plan runs on this device
├── Interrupted             75  told to stop; not the attempt's fault
├── DeadlineExceeded        76  an attempt ran longer than it may
├── AccessDenied            77  credentials are missing or refused
└── TrustRemoteCode         78  the checkpoint needs pickle or remote code, which never run here
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar


class Category(StrEnum):
    """The stable name of a failure, as it stands in results, statuses and metrics."""

    INVALID_INPUT = "INVALID_INPUT"
    INTEGRITY_ERROR = "INTEGRITY_ERROR"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    NETWORK_ERROR = "NETWORK_ERROR"
    INTERNAL = "INTERNAL"
    CUDA_OUT_OF_MEMORY = "CUDA_OUT_OF_MEMORY"
    HOST_OUT_OF_MEMORY = "HOST_OUT_OF_MEMORY"
    INSUFFICIENT_DISK_SPACE = "INSUFFICIENT_DISK_SPACE"
    INCOMPATIBLE_HARDWARE = "INCOMPATIBLE_HARDWARE"
    INTERRUPTED = "INTERRUPTED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    ACCESS_DENIED = "ACCESS_DENIED"
    TRUST_REMOTE_CODE = "TRUST_REMOTE_CODE"


@dataclass(frozen=True)
class Row:
    """What a category means to those who act on it.

    `reason` is the CamelCase word of status.reason when a resource ends because of it; `retryable`: the same
    plan may succeed later; `other_plan`: a plan with other needs may succeed now.
    """

    exit_code: int
    reason: str
    retryable: bool
    other_plan: bool
    advice: str


TABLE: Mapping[Category, Row] = MappingProxyType(
    {
        Category.INVALID_INPUT: Row(
            64, "InvalidInput", False, False, "Correct the named fields and apply the manifest again."
        ),
        Category.INTEGRITY_ERROR: Row(
            65,
            "IntegrityError",
            False,
            False,
            "Publish the model again: stored bytes differ from its manifest.",
        ),
        Category.MODEL_NOT_FOUND: Row(
            66,
            "ModelNotFound",
            False,
            False,
            "Publish the model's weights, or name a model of the catalogue.",
        ),
        Category.NETWORK_ERROR: Row(
            69, "NetworkError", True, False, "Check the S3 endpoint and that this machine can reach it."
        ),
        Category.INTERNAL: Row(
            70, "InternalError", False, False, "This is a bug: report it with the runner's log."
        ),
        Category.CUDA_OUT_OF_MEMORY: Row(
            71, "CUDAOutOfMemory", False, True, "Use fewer frames, a smaller resolution or a larger GPU."
        ),
        Category.HOST_OUT_OF_MEMORY: Row(
            72, "HostOutOfMemory", False, True, "Give the runner more memory, or use a smaller model."
        ),
        Category.INSUFFICIENT_DISK_SPACE: Row(
            73,
            "InsufficientDiskSpace",
            False,
            False,
            "Free disk space for the weights cache, or move the cache.",
        ),
        Category.INCOMPATIBLE_HARDWARE: Row(
            74, "IncompatibleHardware", False, True, "Run on a device that the model supports."
        ),
        Category.INTERRUPTED: Row(
            75, "TooManyInterruptions", True, False, "Nothing to do: it is tried again."
        ),
        Category.DEADLINE_EXCEEDED: Row(
            76, "RunDeadlineExceeded", False, False, "Raise deadlines.run, or ask for less video."
        ),
        Category.ACCESS_DENIED: Row(
            77, "AccessDenied", False, False, "Check the S3 credentials and the bucket's policy."
        ),
        Category.TRUST_REMOTE_CODE: Row(
            78,
            "TrustRemoteCode",
            False,
            False,
            "Convert the checkpoint to safetensors; pickles never run here.",
        ),
    }
)


def category_of_exit(code: int, *, oom_killed: bool = False) -> Category | None:
    """The category of a runner's exit status; None for 0.

    `code` is as a shell sees it: 128+n for signal n. SIGTERM before our handler was set (143) is an
    interruption; SIGKILL (137) is the kernel's OOM killer if `oom_killed`, else an interruption.
    Any other unknown code is our bug.
    """
    if code == 0:
        return None
    if code == 137:
        return Category.HOST_OUT_OF_MEMORY if oom_killed else Category.INTERRUPTED
    if code == 143:
        return Category.INTERRUPTED
    by_code = {row.exit_code: category for category, row in TABLE.items()}
    return by_code.get(code, Category.INTERNAL)


class WanError(Exception):
    """Base of all our errors. `message` is one sentence for people; `advice` says what to do about it."""

    category: ClassVar[Category] = Category.INTERNAL

    def __init__(self, message: str, *, advice: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice if advice is not None else TABLE[self.category].advice

    @property
    def row(self) -> Row:
        return TABLE[self.category]


class InvalidInput(WanError):
    """The request is wrong. `problems` holds every fault found, each `path: what, value; nearest`."""

    category = Category.INVALID_INPUT

    def __init__(self, problems: Sequence[str] | str, *, advice: str | None = None) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("; ".join(self.problems), advice=advice)


class IntegrityError(WanError):
    category = Category.INTEGRITY_ERROR


class ModelNotFound(WanError):
    category = Category.MODEL_NOT_FOUND


class NetworkError(WanError):
    category = Category.NETWORK_ERROR


class InternalError(WanError):
    category = Category.INTERNAL


class DeviceOutOfMemory(WanError):
    category = Category.CUDA_OUT_OF_MEMORY


class HostOutOfMemory(WanError):
    category = Category.HOST_OUT_OF_MEMORY


class InsufficientDiskSpace(WanError):
    category = Category.INSUFFICIENT_DISK_SPACE


class IncompatibleHardware(WanError):
    category = Category.INCOMPATIBLE_HARDWARE


class Interrupted(WanError):
    category = Category.INTERRUPTED


class DeadlineExceeded(WanError):
    category = Category.DEADLINE_EXCEEDED


class AccessDenied(WanError):
    category = Category.ACCESS_DENIED


class TrustRemoteCode(WanError):
    category = Category.TRUST_REMOTE_CODE
