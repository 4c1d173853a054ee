"""Text -> JSON-like data. YAML as Kubernetes users write it, without what makes YAML dangerous or surprising.

Read: one document of mappings, lists and scalars. Not read: aliases (so no bombs), tags but `!!str`,
duplicate keys, nesting beyond `DEPTH_MAX`, text beyond `BYTES_MAX`. Unquoted scalars are what kubectl takes
them for: yes and on are true, 1e3 is a number; dates and clock times stay strings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from wan_core.api.words import shown
from wan_core.errors import InvalidInput

BYTES_MAX = 1_572_864  # 1.5 MiB: what etcd, and so the API server, takes at most
DEPTH_MAX = 32
DIGITS_MAX = 100
PROBLEMS_MAX = 50  # of one kind; a person reads no more

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where PyYAML was built with it
_TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})
_FALSE = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_STRING_TAGS = (None, "!", "tag:yaml.org,2002:str")
_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass
class _Reading:
    """One text being read: its events, and the duplicate keys met on the way."""

    source: str
    events: Iterator[Any]
    problems: list[str] = field(default_factory=list)

    def fail(self, event: Any, what: str) -> NoReturn:
        raise InvalidInput(self.at(event, what))

    def at(self, event: Any, what: str) -> str:
        return f"{self.source} line {event.start_mark.line + 1}: {what}"


def parse_text(content: str | bytes, source: str, kind: str = "VideoGeneration") -> tuple[Any, list[str]]:
    """The data of the one document in `content`, a `kind`, and a problem for each key given twice.

    Raises InvalidInput, with the line, if `content` is not such a document.
    """
    text = _decode(content, source)
    if text.lstrip().startswith("{"):
        try:
            return _parse_json(text), []
        except (ValueError, RecursionError):
            pass  # YAML reads flow mappings too, and its complaints carry lines
    return _parse_yaml(text, source, kind)


def _decode(content: str | bytes, source: str) -> str:
    raw = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    if len(raw) > BYTES_MAX:
        raise InvalidInput(f"{source}: has {len(raw)} bytes; the maximum is {BYTES_MAX}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        read = error.object  # without the byte order mark, if there was one
        line = read.count(b"\n", 0, error.start) + 1
        raise InvalidInput(f"{source} line {line}: byte 0x{read[error.start]:02x} is not UTF-8") from None
    if not text.strip():
        raise InvalidInput(f"{source}: is empty")
    return text


def _parse_json(text: str) -> Any:
    # parse_constant gets "NaN", "Infinity" or "-Infinity", which are not JSON: no integer either, so refused.
    return json.loads(text, object_pairs_hook=_unique, parse_int=_short_int, parse_constant=_short_int)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(data := dict(pairs)) < len(pairs):
        raise ValueError("duplicate key")
    return data


def _short_int(digits: str) -> int:
    if len(digits) > DIGITS_MAX:
        raise ValueError("too many digits")
    return int(digits)


def _parse_yaml(text: str, source: str, kind: str) -> tuple[Any, list[str]]:
    if bad := _UNREADABLE.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        raise InvalidInput(f"{source} line {line}: the character {shown(bad[0])} may not stand in YAML")
    reading = _Reading(source, yaml.parse(text, Loader=_LOADER))
    try:
        documents = [data for data in _documents(reading) if data is not None]
    except (yaml.YAMLError, ValueError) as error:  # ValueError: PyYAML without libyaml on "\\UFFFFFFFF"
        raise InvalidInput(_not_yaml(error, text, source)) from None
    if len(documents) != 1:
        found = f"{len(documents)} documents; one {kind} a file is read" if documents else "is empty"
        raise InvalidInput(f"{source}: {found}")
    return documents[0], reading.problems


def _not_yaml(error: Exception, text: str, source: str) -> str:
    mark: Any = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return f"{source}: is not YAML"
    lines = text.splitlines()
    content = lines[min(mark.line, len(lines) - 1)]
    if "\t" in content[: len(content) - len(content.lstrip())]:
        return f"{source} line {mark.line + 1}: indented with a tab; YAML wants spaces"
    return f"{source} line {mark.line + 1}: is not YAML: {getattr(error, 'problem', None)}"


def _documents(reading: _Reading) -> Iterator[Any]:
    for event in reading.events:
        if isinstance(event, yaml.DocumentStartEvent):
            yield _node(reading, next(reading.events), 0)


def _node(reading: _Reading, event: Any, depth: int) -> Any:
    if isinstance(event, yaml.AliasEvent):
        reading.fail(event, f"the alias *{event.anchor} is not read here; write the value out")
    if isinstance(event, yaml.ScalarEvent):
        return _scalar(reading, event)
    if depth >= DEPTH_MAX:
        reading.fail(event, f"nested deeper than {DEPTH_MAX} levels")
    if event.tag is not None:
        reading.fail(event, f"the tag {shown(event.tag)} is not read here")
    if isinstance(event, yaml.SequenceStartEvent):
        return _list(reading, depth + 1)
    return _mapping(reading, depth + 1)


def _list(reading: _Reading, depth: int) -> list[Any]:
    items = []
    while not isinstance(event := next(reading.events), yaml.SequenceEndEvent):
        items.append(_node(reading, event, depth))
    return items


def _mapping(reading: _Reading, depth: int) -> dict[str, Any]:
    data: dict[str, Any] = {}
    while not isinstance(event := next(reading.events), yaml.MappingEndEvent):
        if not isinstance(event, yaml.ScalarEvent):
            reading.fail(event, "a key must be a plain word")
        value = _node(reading, next(reading.events), depth)
        if event.value in data and len(reading.problems) < PROBLEMS_MAX:
            reading.problems.append(reading.at(event, f"{shown(event.value)} is given twice"))
        data[event.value] = value
    return data


def _scalar(reading: _Reading, event: Any) -> Any:
    value: str = event.value
    if event.tag not in _STRING_TAGS:
        reading.fail(event, f"the tag {shown(event.tag)} is not read here")
    if not event.implicit[0]:  # quoted, or a block
        return value
    if value in _NULL:
        return None
    if value in _TRUE or value in _FALSE:
        return value in _TRUE
    return _number(reading, event, value)


def _number(reading: _Reading, event: Any, value: str) -> Any:
    if not (_INT.fullmatch(value) or _FLOAT.fullmatch(value) or _SPECIAL.fullmatch(value)):
        return value
    if len(value) > DIGITS_MAX:
        reading.fail(event, f"a number of {len(value)} characters is too long")
    if _INT.fullmatch(value):
        return int(value, 0) if value[:2] in ("0x", "0o") else int(value)
    return float(value.replace(".i", "i").replace(".I", "I").replace(".n", "n").replace(".N", "N"))
