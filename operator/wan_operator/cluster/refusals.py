"""What an API server may answer instead of what was asked: one tree, built from status code and body. Pure.

Refusal
├── NotFound        404
├── AlreadyExists   409, an object of that name is there
├── Conflict        409, the object is not the one that was read
├── Gone            410, the asked resource version is too old to watch or to page from
├── Forbidden       403, by RBAC, quota, Pod Security or a policy
├── Invalid         400, 405, 413, 415, 422, by schema, CEL or a policy
├── TooLarge        what etcd does not take: no retry helps
└── Unavailable     401, 429, 5xx, no answer at all: the same call may succeed later
"""

from __future__ import annotations

import json
from typing import Any

# 500 with these words is no fault of the server: the request can never succeed.
TOO_LARGE = ("request is too large", "trying to send message larger than max")
WORDS_MAX = 2048


class Refusal(Exception):
    """`message` is in the server's own words, `status` the HTTP status, None where no answer came."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class NotFound(Refusal):
    pass


class AlreadyExists(Refusal):
    pass


class Conflict(Refusal):
    pass


class Gone(Refusal):
    pass


class Forbidden(Refusal):
    pass


class Invalid(Refusal):
    pass


class TooLarge(Refusal):
    pass


class Unavailable(Refusal):
    """`retry_after_s` is what the server asked for, None where it did not."""

    def __init__(self, message: str, status: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message, status)
        self.retry_after_s = retry_after_s


def refusal_of(status: int, body: bytes, retry_after: str | None = None) -> Refusal:
    """The typed refusal that an answer of 400 or more means."""
    reason, message = read_words(body)
    if any(words in message for words in TOO_LARGE):
        return TooLarge(message, status)
    if status == 409:
        return (AlreadyExists if reason == "AlreadyExists" else Conflict)(message, status)
    kinds = {403: Forbidden, 404: NotFound, 410: Gone}
    if status in kinds:
        return kinds[status](message, status)
    if status in (401, 408, 429) or status >= 500:
        return Unavailable(message, status, read_seconds(retry_after))
    return Invalid(message, status)


def read_words(body: bytes) -> tuple[str, str]:
    """Reason and message of a metav1.Status; ("", the start of the body) of anything else."""
    text = body.decode("utf-8", "replace")
    try:
        status: Any = json.loads(text)
    except ValueError:
        return "", text[:WORDS_MAX]
    if not isinstance(status, dict):
        return "", text[:WORDS_MAX]
    return str(status.get("reason") or ""), str(status.get("message") or text)[:WORDS_MAX]


def read_seconds(text: str | None) -> float | None:
    """The seconds of a Retry-After header; None for a date or nonsense."""
    return float(text) if text is not None and text.isascii() and text.isdigit() else None
