"""Attempts whose Jobs were made under other settings than today's. Pure.

Jobs are never changed. One that was made before the administrator mended an image's name, a toleration or a
volume would wait in vain for ever, so `decide` makes it anew if it waits. Only Jobs from before this process
count: of two operators with different settings, as there may be for a moment, neither undoes the other's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from wan_operator.cluster.pods import JobFacts
from wan_operator.cluster.settings import ClusterSettings
from wan_operator.world import Observed

MATTERS = {"runner", "s3", "cache", "inventory", "weights", "output", "report"}  # to how a Job is made


def digest_settings(settings: ClusterSettings) -> str:
    """The same for the same Jobs."""
    return hashlib.sha256(settings.model_dump_json(include=MATTERS).encode()).hexdigest()[:16]


def mark_outdated(
    attempts: Iterable[Observed], jobs: Iterable[JobFacts], digest: str, since: datetime
) -> tuple[Observed, ...]:
    """The attempts; those whose Job is from before `since`, and of other settings, say so."""
    old = {job.attempt for job in jobs if job.settings != digest and job.created < since}
    return tuple(replace(a, outdated=True) if a.number in old else a for a in attempts)
