"""Durations as a spec has them."""

from __future__ import annotations

import re
from datetime import timedelta


def read_duration(text: str | None) -> timedelta | None:
    """`2h`, `90m`, `1h30m15s` as a timedelta; None where nothing is set. The pattern was checked before."""
    if not text:
        return None
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    assert match is not None  # `Duration` in the spec has this pattern
    hours, minutes, seconds = (int(group or 0) for group in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)
