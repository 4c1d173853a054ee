"""A manifest's text -> a VideoGeneration, or every fault in it at once, one clear line each.

As strict as the API server and this project's CRD together, and never more lenient than either. Nothing here
knows the catalogue: whether a model exists is asked when the request is resolved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from wan_core.api import rules
from wan_core.api.parse import PROBLEMS_MAX, parse_text
from wan_core.api.problems import problem_of
from wan_core.api.spec import API_VERSION, KIND, Spec
from wan_core.api.status import VideoGeneration
from wan_core.api.words import shown
from wan_core.errors import InvalidInput

# Stands in for a required field that is missing or wrong, while the others are looked at.
_PLACEHOLDER = {"model": "none", "prompt": "none"}


Check = Callable[[Mapping[str, Any]], Sequence[str]]


def read_manifest(text: str | bytes, source: str = "manifest", check: Check | None = None) -> VideoGeneration:
    """The resource that `text` describes. `source` names the text in messages about its form.

    `check` is asked for further problems of a spec that has some; it is given the fields that are valid by
    themselves, in normal form, for a reader who wants to hear everything at once.
    `status` is ignored, as the API server ignores it in what users send; so is metadata that we do not read.
    Raises InvalidInput with all problems: `path: what, value; nearest`.
    """
    data, problems = parse_text(text, source)
    if not isinstance(data, dict):
        raise InvalidInput(f"{source}: expected a mapping, got {shown(data)}")
    if _is_another_resource(data):
        raise InvalidInput([*problems, *_validate(data, ("apiVersion", "kind"))[1]])
    resource, more = _validate(data)
    problems += more
    spec = data.get("spec")
    if isinstance(spec, dict):
        part = _valid_part(spec)
        wrong = spec.keys() - part.keys()  # what was given is not missing
        problems += [p for p in rules.problems_of(part) if field_of(p) not in wrong]
        if problems and check is not None:
            problems += check(part)
    if resource is None or problems:
        raise InvalidInput(problems)
    return resource


def field_of(problem: str) -> str:
    """The field of spec that a problem is about: `spec.deadlines.run: ...` -> `deadlines`."""
    return problem.split(":")[0].split(".")[1]


def _is_another_resource(data: dict[str, Any]) -> bool:
    """Whether apiVersion and kind both say so: the rest of it would only be misread."""
    given = (data.get("apiVersion"), data.get("kind"))
    return all(isinstance(word, str) for word in given) and given[0] != API_VERSION and given[1] != KIND


def _validate(data: dict[str, Any], only: tuple[str, ...] = ()) -> tuple[VideoGeneration | None, list[str]]:
    """The resource or None, and its problems; of the top-level fields `only`, if given."""
    read = {key: value for key, value in data.items() if key != "status" and value is not None}
    if isinstance(metadata := read.get("metadata"), dict):
        read["metadata"] = {key: value for key, value in metadata.items() if value is not None}
    try:
        return VideoGeneration.model_validate(read, by_alias=True, by_name=False), []
    except ValidationError as error:
        errors = [e for e in error.errors(include_url=False) if not only or e["loc"][0] in only]
        more = [f"and {len(errors) - PROBLEMS_MAX} more like these"] if len(errors) > PROBLEMS_MAX else []
        return None, [problem_of(e, VideoGeneration) for e in errors[:PROBLEMS_MAX]] + more


def _valid_part(spec: dict[str, Any]) -> dict[str, Any]:
    """The fields of `spec` that are valid by themselves, in normal form: what the rules look at."""
    try:
        return Spec.model_validate(spec, by_alias=True, by_name=False).to_dict()
    except ValidationError as error:
        wrong = {e["loc"][0] for e in error.errors(include_url=False)}
    rest = {key: value for key, value in spec.items() if key not in wrong and value is not None}
    absent = {key: value for key, value in _PLACEHOLDER.items() if key not in rest}
    view = Spec.model_validate({**absent, **rest}, by_alias=True, by_name=False).to_dict()
    return {key: value for key, value in view.items() if key not in absent}
