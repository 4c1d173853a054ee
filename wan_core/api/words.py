"""Values of the input as they may be printed, and the nearest of several words. The standard library only."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterable, Sequence

from wan_core.phases import BYTES

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


def words_of_bytes(count: float) -> str:
    """`532 B`, `14.2 MiB`, `27.0 GiB`."""
    units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
    unit, name = next(((unit, name) for unit, name in units if count >= unit), (1, "B"))
    return f"{count / unit:.1f} {name}" if unit > 1 else f"{count:.0f} B"


def words_of_load(done: int, total: int, unit: str, rate: float | None) -> str:
    """`12.3 GiB of 69.1 GiB, 1.1 GiB/s` or `3 of 12`, as far as it is known."""
    if not total:
        return ""
    if unit != BYTES:
        return f"{done} of {total}"
    pace = f", {words_of_bytes(rate)}/s" if rate else ""
    return f"{words_of_bytes(done)} of {words_of_bytes(total)}{pace}"


def type_of(value: object) -> str:
    """The JSON name of the value's type."""
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "list", dict: "mapping"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def first_of(texts: Sequence[str], most: int, what: str) -> list[str]:
    """The texts; of more than `most` the first, and in the last place how many more there are."""
    if len(texts) <= most:
        return list(texts)
    return [*texts[: most - 1], f"and {len(texts) - most + 1} more {what}"]


def nearest(word: str, choices: Iterable[str], count: int = 1, cutoff: float = 0.6) -> list[str]:
    """Those of `choices` most like `word`, best first, whatever their case; empty if none is near."""
    by_lower = {choice.lower(): choice for choice in choices}
    return [by_lower[m] for m in difflib.get_close_matches(word.lower(), by_lower, count, cutoff)]


def unknown_names(names: Iterable[str], prefix: str, known: Collection[str]) -> list[str]:
    """The `names` with this `prefix` that are not known, each as a problem with the nearest that is."""
    found = sorted(name for name in names if name.startswith(prefix) and name not in known)
    near = {name: ", ".join(nearest(name, known) or sorted(known)) for name in found}
    return [f"{printable(name)}: there is no such setting; nearest: {near[name]}" for name in found]
