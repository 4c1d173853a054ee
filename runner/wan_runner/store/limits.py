"""How much of a disk the weights' cache may take: from the environment, parsed once. No I/O.

    WAN_CACHE_HIGH_PERCENT   80    of the file system in use, by whatever: from here on, what was not used
                                   for the longest time is evicted before more is fetched
    WAN_CACHE_LOW_PERCENT    70    ... until no more than this is in use
    WAN_CACHE_MAX_BYTES      none  of the cache itself; never exceeded. Evicted down to LOW/HIGH of it
    WAN_CACHE_PARTIAL_HOURS  24    a partial file that nobody fetches any more is kept so long, to be resumed
    WAN_CACHE_SCRATCH_BYTES  8Gi   of all running attempts' temporary files together

Bytes are a number, or one with Ki, Mi, Gi, Ti or k, M, G, T as Kubernetes writes them. The percentages stay
below the 85 % at which the kubelet begins to delete images and the 90 % at which it evicts pods, by default
(imageGCHighThresholdPercent, evictionHard nodefs.available). They are where eviction begins, not where
fetching ends: a model that fits the disk is fetched even where others fill it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wan_core.api.words import unknown_names
from wan_core.errors import InvalidInput
from wan_core.weights.prepared_folder import read_max_bytes

GIB = 2**30
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_UNITS |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_QUANTITY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)(|k|M|G|T|Ki|Mi|Gi|Ti)")
SETTINGS = (
    "WAN_CACHE_HIGH_PERCENT",
    "WAN_CACHE_LOW_PERCENT",
    "WAN_CACHE_MAX_BYTES",
    "WAN_CACHE_PARTIAL_HOURS",
    "WAN_CACHE_SCRATCH_BYTES",
)
ADVICE = "Correct the setting: runner.podTemplate in the chart's values, or the environment of `wan`."


@dataclass(frozen=True)
class CacheLimits:
    """`high` and `low` are fractions of the file system; `max_bytes` is of the cache, None for no limit."""

    high: float = 0.80
    low: float = 0.70
    max_bytes: int | None = None
    partial_age_s: float = 24 * 3600.0
    scratch_bytes: int = 8 * GIB


def read_limits(environ: Mapping[str, str]) -> CacheLimits:
    """The limits in `environ`. Raises InvalidInput that names every setting that is none, that of derived
    values in the cache among them.
    """
    problems = [*unknown_names(environ, "WAN_CACHE_", SETTINGS), *_prepared_problems(environ)]
    of_names = len(problems)
    usual = CacheLimits()
    high = _number(environ, "WAN_CACHE_HIGH_PERCENT", usual.high * 100, 100, problems)
    low = _number(environ, "WAN_CACHE_LOW_PERCENT", min(usual.low * 100, high), 100, problems)
    if low > high and len(problems) == of_names:  # what is no number is above nothing
        problems.append(f"WAN_CACHE_LOW_PERCENT: {low:g} is above WAN_CACHE_HIGH_PERCENT, {high:g}")
    hours = _number(environ, "WAN_CACHE_PARTIAL_HOURS", usual.partial_age_s / 3600, 24 * 365, problems)
    limit = _bytes(environ, "WAN_CACHE_MAX_BYTES", problems)
    scratch = _bytes(environ, "WAN_CACHE_SCRATCH_BYTES", problems)
    if problems:
        raise InvalidInput(problems, advice=ADVICE)
    return CacheLimits(
        high / 100, low / 100, limit, hours * 3600, usual.scratch_bytes if scratch is None else scratch
    )


def _prepared_problems(environ: Mapping[str, str]) -> Sequence[str]:
    try:
        read_max_bytes(environ)
    except InvalidInput as error:
        return error.problems
    return ()


def told(count: int) -> str:
    """Bytes for people: the number, and in GiB."""
    return f"{count} bytes ({count / GIB:.2f} GiB)"


def _number(environ: Mapping[str, str], name: str, usual: float, most: float, problems: list[str]) -> float:
    text = environ.get(name, "").strip()
    if not text:
        return usual
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) or not 0 < float(text) <= most:
        problems.append(f"{name}: {text[:40]!r} is not a number above 0, at most {most:g}")
        return usual
    return float(text)


def _bytes(environ: Mapping[str, str], name: str, problems: list[str]) -> int | None:
    text = environ.get(name, "").strip()
    if not text:
        return None
    found = _QUANTITY.fullmatch(text)
    if not found or not (count := int(float(found[1]) * _UNITS[found[2]])):
        problems.append(f"{name}: {text[:40]!r} is not a number of bytes such as 500Gi or 500000000000")
        return None
    return count
