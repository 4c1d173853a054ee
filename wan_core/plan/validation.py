"""Manifests against the API and the catalogue: every problem of every document, as data. Pure.

A text may hold several documents, and lists as `kubectl get -o yaml` writes them. Documents of other kinds
are passed over. Not looked at: the input image, and whether any hardware has room.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from wan_core.api.manifest import read_manifest
from wan_core.api.model import Document
from wan_core.api.parse import BYTES_MAX, parse_text
from wan_core.api.spec import API_VERSION, KIND
from wan_core.api.status import VideoGeneration
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.models import MODELS
from wan_core.errors import InvalidInput
from wan_core.plan.asked import build_requests, model_notes, model_problems, why_unrunnable
from wan_core.plan.cautions import find_warnings
from wan_core.plan.request import Request

# In YAML no text but a document's marker can begin a line with it (YAML 1.2.2, 9.1.2).
_MARKER = re.compile(rb"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_NOTHING = re.compile(rb"(?:[ \t]*(?:#[^\n]*)?\r?\n|%[^\n]*\n|---[ \t]*\r?\n|\.\.\.[ \t]*\r?\n)*")
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:\.[A-Za-z][A-Za-z0-9]*|\[[0-9]+\])*(?=: )")
_NEAREST = re.compile(r"; nearest: (?P<list>[^;()]+)|; did you mean (?P<one>.+)\?")


class Problem(Document):
    """One fault. `path` is empty where it is about the document as a whole.

    `value` is what stands at the path, absent where nothing does; `rule` what is wrong with it; `nearest` are
    valid values like it. `text` is all of that as one line.
    """

    path: str = ""
    value: Any = None
    rule: str
    nearest: tuple[str, ...] = ()
    text: str


class CheckedManifest(Document):
    """One document: where it stands, whose it is, and what is wrong with it.

    `notes` say what was read as what. `requests` are complete, with every default filled in: the model's,
    then those of its fallback models.
    """

    source: str
    name: str = ""
    model: str = ""
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    requests: tuple[Request, ...] = ()
    resource: VideoGeneration | None = None

    @property
    def valid(self) -> bool:
        return not self.problems


class Validation(Document):
    """Everything in one text. `skipped` names documents of other kinds."""

    documents: tuple[CheckedManifest, ...] = ()
    skipped: tuple[str, ...] = ()


def validate(
    text: str | bytes,
    source: str = "manifest",
    models: Mapping[str, ModelCard] = MODELS,
    *,
    expected: bool = True,
) -> Validation:
    """Every VideoGeneration in `text`. If one is `expected`, a text without any is one invalid document."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    documents: list[CheckedManifest] = []
    skipped: list[str] = []
    for label, chunk in _chunks(raw, source):
        for name, one, data in _unlisted(chunk, label):
            if other := _kind_of_another(data):
                skipped.append(f"{name}: {other}")
            else:
                documents.append(_check(one, data, name, models))
    if not documents and expected:
        documents.append(check_document(raw, source, models))
    return Validation(documents=tuple(documents), skipped=tuple(skipped))


def check_document(
    text: str | bytes, source: str = "manifest", models: Mapping[str, ModelCard] = MODELS
) -> CheckedManifest:
    """One document, which is to be a VideoGeneration."""
    return _check(text, _data_of(text), source, models)


def _check(text: str | bytes, data: Any, source: str, models: Mapping[str, ModelCard]) -> CheckedManifest:
    try:
        resource = read_manifest(text, source, partial(model_problems, models=models))
    except InvalidInput as error:
        problems = tuple(problem_of_line(line, data) for line in error.problems)
        return CheckedManifest(source=source, name=_word(data, "metadata", "name"), problems=problems)
    return check_resource(resource, source, data, models)


def check_resource(
    resource: VideoGeneration, source: str, data: Any, models: Mapping[str, ModelCard] = MODELS
) -> CheckedManifest:
    """A resource of valid form against the catalogue. `data` is the document, for what stands at a path."""
    spec = resource.spec
    lines: list[str] = []
    requests: tuple[Request, ...] = ()
    try:
        requests = build_requests(spec, resource.metadata.uid, models)
    except InvalidInput as error:
        lines += error.problems
    lines += [line for line in why_unrunnable(spec, models) if line not in lines]
    return CheckedManifest(
        source=source,
        name=resource.metadata.name,
        model=requests[0].model if requests else spec.model,
        problems=tuple(problem_of_line(line, data) for line in lines),
        warnings=find_warnings(models[requests[0].model], spec, requests[0], None) if requests else (),
        notes=model_notes(spec, models) if requests else (),
        requests=requests,
        resource=resource,
    )


def problem_of_line(line: str, data: Any = None) -> Problem:
    """A line of InvalidInput as data: `path: what; nearest`."""
    found = _FIELD.match(line)
    path = found[0] if found is not None else ""
    rule = line[len(path) + 2 :] if path else line
    near: tuple[str, ...] = ()
    if hint := _NEAREST.search(rule):
        near = (hint["one"],) if hint["one"] else tuple(part.strip() for part in hint["list"].split(","))
        rule = rule[: hint.start()] + rule[hint.end() :]
    return Problem(path=path, value=_value_at(data, path), rule=rule, nearest=near, text=line)


def _chunks(raw: bytes, source: str) -> Iterator[tuple[str, bytes]]:
    """The documents of a text, each on its lines of it, so that messages name those; empty ones left out."""
    starts = [0, *(marker.start() for marker in _MARKER.finditer(raw) if marker.start())]
    parts = [(start, raw[start:end]) for start, end in zip(starts, [*starts[1:], None], strict=True)]
    full = [(start, part) for start, part in parts if not _is_empty(part)]
    for number, (start, part) in enumerate(full, start=1):
        label = source if len(full) == 1 else f"{source} document {number}"
        lines = raw.count(b"\n", 0, start)
        yield label, b"\n" * lines + part if lines + len(part) <= BYTES_MAX else part


def _is_empty(part: bytes) -> bool:
    return _NOTHING.fullmatch(part + b"\n") is not None


def _unlisted(chunk: bytes, label: str) -> Iterator[tuple[str, bytes, Any]]:
    """The items of a List of the API server, each as text and as data; any other document as it is."""
    data = _data_of(chunk)
    items = data.get("items") if isinstance(data, dict) and str(data.get("kind")).endswith("List") else None
    if not isinstance(items, list):
        yield label, chunk, data
        return
    for index, item in enumerate(items):
        yield f"{label} items[{index}]", json.dumps(item).encode(), item


def _kind_of_another(data: Any) -> str:
    """What a document is if its apiVersion and kind both say that it is no VideoGeneration; else empty."""
    given = (_word(data, "apiVersion"), _word(data, "kind"))
    return f"{given[0]} {given[1]}" if all(given) and given[0] != API_VERSION and given[1] != KIND else ""


def _data_of(text: str | bytes) -> Any:
    try:
        return parse_text(text, "")[0]
    except InvalidInput:
        return None


def _word(data: Any, *path: str) -> str:
    for key in path:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, str) else ""


def _value_at(data: Any, path: str) -> Any:
    for part in re.findall(r"[A-Za-z0-9]+", path):
        if isinstance(data, list) and part.isdigit() and int(part) < len(data):
            data = data[int(part)]
        else:
            data = data.get(part) if isinstance(data, dict) else None
    return data
