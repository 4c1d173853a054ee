"""The valid text behind a near miss, where one can be made out: `1280 x 720`, `2 hours`, an https:// address.

A guess is offered to a person, never taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import ceil, floor

from wan_core.api import spec, status

SIDE_MIN = 16  # a patch of every model here
NAMED_SIZES: Mapping[str, str] = {"480p": "832x480", "720p": "1280x720"}  # as Wan's own task names have them
UNITS_S: Mapping[str, int] = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
# A number, and the unit that its first letter tells; more than a letter must be one of these words.
DURATION_PART = re.compile(
    r"(\d{1,6})(w|weeks?|d|days?|h|hrs?|hours?|m|mins?|minutes?|s|secs?|seconds?)?", re.ASCII
)
# Virtual-hosted and path style of S3's own addresses (AWS, Methods for accessing a bucket).
HTTPS = (
    re.compile(r"https?://([a-z0-9][a-z0-9.-]*)\.s3[a-z0-9.-]*\.amazonaws\.com/([^?#]+)", re.IGNORECASE),
    re.compile(r"https?://s3[a-z0-9.-]*\.amazonaws\.com/([a-z0-9][a-z0-9.-]*)/([^?#]+)", re.IGNORECASE),
    re.compile(r"s3:/*([^/]+)/+(.+)", re.IGNORECASE),
)


def meant(value: str, pattern: str) -> str:
    """What `value`, which does not match `pattern`, most likely is to be; empty if that cannot be said."""
    guess = GUESSES.get(pattern)
    found = guess(value.strip()) if guess is not None else ""
    return found if found != value and re.search(pattern, found) else ""


def nearest_number(value: object, whole: bool) -> str:
    """The numbers nearest to what was given in place of one; empty if it is none."""
    if isinstance(value, str) and re.fullmatch(r"-?(0|[1-9]\d{0,17})(\.\d{1,18})?", value, re.ASCII):
        return f"{value}, without quotes" if not whole or "." not in value else ""
    if whole and isinstance(value, float) and abs(value) < 2**53:
        return f"{floor(value)}, {ceil(value)}"
    return ""


def nearest_truth(value: object) -> str:
    """true or false, where the value is one of their other names."""
    word = str(value).lower()
    if word in ("1", "1.0", "true", "yes", "on"):
        return "true"
    return "false" if word in ("0", "0.0", "false", "no", "off") else ""


def _resolution(value: str) -> str:
    sides = re.fullmatch(r"([1-9]\d{0,3})\s*[*xX×,:/]\s*([1-9]\d{0,3})", value, re.ASCII)
    if sides is None or (value.count(":") and max(map(int, sides.groups())) < SIDE_MIN * 2):
        return NAMED_SIZES.get(value.lower(), "")  # 16:9 is an aspect
    return "x".join(str(max(SIDE_MIN, int(side))) for side in sides.groups())


def _duration(value: str) -> str:
    text = re.sub(r"\s+", "", value.lower())
    if not re.fullmatch(f"({DURATION_PART.pattern})+", text, re.ASCII):
        return ""
    total = sum(int(n) * UNITS_S[unit[:1] or "s"] for n, unit in DURATION_PART.findall(text))
    hours, minutes, seconds = total // 3600, total // 60 % 60, total % 60
    parts = [f"{n}{unit}" for n, unit in ((hours, "h"), (minutes, "m"), (seconds, "s")) if n]
    return "".join(parts) or "0s"


def _address(value: str) -> str:
    found = next((match for form in HTTPS if (match := form.fullmatch(value))), None)
    if found is not None:
        bucket = re.sub("[^a-z0-9.-]+", "-", found[1].lower()).strip("-.")
        return f"s3://{bucket}/{found[2]}"
    return ""


def _dns_name(value: str) -> str:
    return re.sub("[^a-z0-9]+", "-", value.lower()).strip("-")


def _words(value: str) -> str:
    return re.sub(r"\s+", "-", value)


GUESSES: Mapping[str, Callable[[str], str]] = {
    spec.MODEL_PATTERN: _words,
    spec.RESOLUTION_PATTERN: _resolution,
    spec.DURATION_PATTERN: _duration,
    spec.S3_PATTERN: _address,
    spec.PRODUCT_PATTERN: str.strip,
    spec.NAME_PATTERN: _dns_name,
    status.NAMESPACE_PATTERN: _dns_name,
}
