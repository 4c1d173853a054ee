"""Logs as JSON lines on stderr. User text is escaped and cut; whole objects and tokens are never written."""

from __future__ import annotations

from typing import Any


def configure(level: str) -> None:
    """Send every logger's records, kopf's included, to stderr as JSON lines."""
    raise NotImplementedError


def about(namespace: str, name: str, uid: str | None = None, attempt: int | None = None) -> dict[str, Any]:
    """`extra` of a log call about a resource: log.info("...", extra=about(namespace, name, uid, 2))."""
    raise NotImplementedError


def quote(text: str, limit: int = 200) -> str:
    """Text of a user, made harmless for a log line or an Event: no control characters, and short."""
    raise NotImplementedError
