"""Why a resource is as it is: the words of `status.reason` that are ours, one enum.

While an attempt waits, the reason is the scheduler's, the registry's or the kubelet's own word; those are not
listed here. The reasons of failures stand beside their categories in `errors.TABLE`.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Ours, in the order of a life."""

    PLAN_CHOSEN = "PlanChosen"
    NO_PLAN_FITS = "NoPlanFits"
    SUSPENDED = "Suspended"
    BACK_OFF = "BackOff"
    JOB_REFUSED = "JobRefused"
    STARTING = "Starting"
    STOPPING = "Stopping"
    SUCCEEDED = "Succeeded"
    CANCELLED = "Cancelled"
    MODEL_CANNOT_RUN = "ModelCannotRun"
    START_DEADLINE_EXCEEDED = "StartDeadlineExceeded"
