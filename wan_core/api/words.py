"""Values of the input as they may be printed, and the nearest of several words. The standard library only."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable

SHOWN_MAX = 80


def printable(text: str) -> str:
    """The text with control, bidirectional and other unprintable characters and lone surrogates as escapes.

    No input can steer a terminal then.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown(value: object) -> str:
    """`value` as it may be printed: JSON-like, escaped, cut to `SHOWN_MAX` characters."""
    escaped = printable(_literal(value))
    return escaped if len(escaped) <= SHOWN_MAX else f"{escaped[: SHOWN_MAX - 3]}..."


def _literal(value: object) -> str:
    if isinstance(value, str):
        return f'"{value[:SHOWN_MAX]}"'
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**SHOWN_MAX:
        return f"a number of more than {SHOWN_MAX} digits"
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    return f"a {type_of(value)}"


def type_of(value: object) -> str:
    """The JSON name of the value's type."""
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "list", dict: "mapping"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def nearest(word: str, choices: Iterable[str], count: int = 1, cutoff: float = 0.6) -> list[str]:
    """Those of `choices` most like `word`, best first, whatever their case; empty if none is near."""
    by_lower = {choice.lower(): choice for choice in choices}
    return [by_lower[m] for m in difflib.get_close_matches(word.lower(), by_lower, count, cutoff)]
