"""How a fault of the input is put into words: one line each, never with a raw control character in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from wan_core.api import spec, status
from wan_core.api.meant import meant, nearest_number, nearest_truth
from wan_core.api.words import SHOWN_MAX, nearest, shown, type_of

# What a pattern asks for, in words.
FORMS: Mapping[str, str] = {
    spec.MODEL_PATTERN: "a model id, as t2v-A14B",
    spec.RESOLUTION_PATTERN: "WIDTHxHEIGHT, as 1280x720",
    spec.S3_PATTERN: "s3://BUCKET/KEY",
    spec.DURATION_PATTERN: "a duration, as 90m, 2h or 1h30m",
    spec.PRODUCT_PATTERN: "a GPU product name, as NVIDIA-H200",
    spec.NAME_PATTERN: "a DNS name (RFC 1123) of a-z, 0-9, - and .",
    status.NAMESPACE_PATTERN: "a DNS label (RFC 1123) of a-z, 0-9 and -",
}
DURATIONS = ("start", "run", "succeeded", "failed")
# Fields whose text is too long before its form is looked at.
LONG: Mapping[str, str] = {
    "resolution": spec.RESOLUTION_PATTERN,
    **dict.fromkeys(DURATIONS, spec.DURATION_PATTERN),
}
TYPES: Mapping[str, str] = {
    "int_type": "an integer",
    "int_parsing": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "string_type": "a string",
    "bool_type": "a boolean, true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "finite_number": "a finite number",
}


def path_of(loc: Iterable[str | int]) -> str:
    """`("spec", "fallback", "models", 0)` -> `spec.fallback.models[0]`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{_word(part)}" for part in loc]
    return "".join(parts).removeprefix(".")


def _word(part: str) -> str:
    return part if part.isascii() and part.isidentifier() and len(part) <= SHOWN_MAX else shown(part)


def problem_of(error: ErrorDetails, root: type[BaseModel]) -> str:
    """One pydantic error of `root` as `path: what, value; nearest`; without a path if it is all of it."""
    path, what = path_of(error["loc"]), _what(error, root)
    return f"{path}: {what}" if path else what


def _what(error: ErrorDetails, root: type[BaseModel]) -> str:
    kind, value, ctx = error["type"], error["input"], error.get("ctx", {})
    if kind == "missing":
        return "missing"
    if kind == "extra_forbidden":
        return _unknown(error["loc"], root)
    if kind == "string_type" and type(value) is int and error["loc"][-1] in DURATIONS:
        return f"{value} is not {FORMS[spec.DURATION_PATTERN]}{_mend(str(value), spec.DURATION_PATTERN)}"
    if kind in TYPES:
        return _wrong_type(TYPES[kind], value) + _fields(error["loc"], root, kind)
    if kind in ("enum", "literal_error"):
        return _not_one_of(value, re.findall("'([^']*)'", ctx["expected"]))
    if kind == "string_pattern_mismatch":
        return f"{shown(value)} is not {FORMS[ctx['pattern']]}{_mend(value, ctx['pattern'])}"
    if kind == "string_too_long" and error["loc"][-1] in LONG:
        return f"{_out_of_bounds(kind, value, ctx)}" + _mend(value, LONG[str(error["loc"][-1])])
    return _out_of_bounds(kind, value, ctx) or error["msg"].removeprefix("Value error, ")


def _out_of_bounds(kind: str, value: Any, ctx: Mapping[str, Any]) -> str | None:
    if kind == "greater_than_equal":
        return f"{shown(value)} is below the minimum; nearest: {_bound(ctx['ge'])}"
    if kind == "greater_than":
        return f"{shown(value)} is not above {_bound(ctx['gt'])}"
    if kind == "less_than_equal":
        return f"{shown(value)} is above the maximum; nearest: {_bound(ctx['le'])}"
    if kind == "string_too_short":
        return "is empty"
    if kind == "string_too_long":
        return f"has {len(value)} characters; the maximum is {ctx['max_length']}"
    if kind == "too_short":
        return f"has {ctx['actual_length']} entries; the minimum is {ctx['min_length']}"
    if kind == "too_long":
        return f"has {ctx['actual_length']} entries; the maximum is {ctx['max_length']}"
    if kind == "string_unicode":
        return f"{shown(value)} contains half of a surrogate pair, which is no character"
    return None


def _bound(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else str(number)


def _wrong_type(expected: str, value: object) -> str:
    got = shown(value) if isinstance(value, dict | list | None) else f"{shown(value)} ({type_of(value)})"
    quote = expected == "a string" and isinstance(value, bool | int | float)
    if not quote and (near := _nearest(expected, value)):
        return f"expected {expected}, got {got}; nearest: {near}"
    return f"expected {expected}, got {got}" + ("; put it in quotes" if quote else "")


def _nearest(expected: str, value: object) -> str:
    if expected.startswith("a boolean"):
        return nearest_truth(value)
    if expected == "a list":
        return f"[{shown(value)}]" if isinstance(value, str) and value else ""
    return nearest_number(value, expected == "an integer") if expected in ("an integer", "a number") else ""


def _fields(loc: tuple[str | int, ...], root: type[BaseModel], kind: str) -> str:
    """What a group of spec would hold, where there is something else."""
    return f"; there are: {', '.join(_field_names(root, loc))}" if kind == "model_type" and loc[1:] else ""


def _mend(value: str, pattern: str) -> str:
    near = meant(value, pattern)
    return f"; did you mean {near}?" if near else ""


def _not_one_of(value: object, choices: list[str]) -> str:
    near = nearest(value, choices) if isinstance(value, str) and len(choices) > 1 else []
    listed = choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    return f"{shown(value)} is not {listed}" + (f"; did you mean {near[0]}?" if near else "")


def _unknown(loc: tuple[str | int, ...], root: type[BaseModel]) -> str:
    names = _field_names(root, loc[:-1])
    near = nearest(str(loc[-1]), names)
    hint = f"did you mean {path_of((*loc[:-1], near[0]))}?" if near else f"there are: {', '.join(names)}"
    return f"unknown field; {hint}"


def _field_names(model: type[BaseModel], loc: Iterable[str | int]) -> list[str]:
    """The JSON names of the fields of the model at `loc`."""
    for part in (name for name in loc if isinstance(name, str)):  # a number says which entry of a list
        field = next(f for f in model.model_fields.values() if f.alias == part)
        model = next(t for t in _types(field.annotation) if isinstance(t, type) and issubclass(t, BaseModel))
    return [field.alias or name for name, field in model.model_fields.items()]


def _types(annotation: Any) -> tuple[Any, ...]:
    return (annotation, *getattr(annotation, "__args__", ()))
