"""The rules across fields of a request: one table, read by the API server as CEL and by us as Python.

Only what an id's spelling tells is known here: families by regular expression, without the catalogue (a test
holds the two together). What the catalogue knows better is checked again when a request is resolved.

A Python check sees the spec as JSON-like data and passes over fields that are absent, so that the fields left
valid in a faulty manifest are checked too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wan_core.api.spec import RESOLUTION_PATTERN
from wan_core.api.words import shown

View = Mapping[str, Any]


def _family(official: str, tiny: str = "") -> str:
    """Ids of these tasks and sizes, in any case, with or without `Wan-AI/Wan2.2-` or `wan_implementation:`.

    RE2 and `re` read it alike, and it holds no backslash, so that it stands in CEL as it is.
    """
    ours = f"|(^|:)({tiny})$" if tiny else ""
    return f"(?i:(^|[:/]|[0-9]-)({official})(-diffusers)?${ours})"


SIZE = "(-[a-z0-9.]+)?"
FRAMES_4K1 = _family(f"(t2v|i2v|ti2v){SIZE}", "wan-tiny|wan-tiny-i2v")
STRIDE_32 = _family(f"ti2v{SIZE}|i2v-5b")
NEEDS_IMAGE = _family(f"(i2v|s2v|animate){SIZE}", "wan-tiny-i2v")
TAKES_NO_IMAGE = _family(f"t2v{SIZE}", "wan-tiny")
TWO_EXPERTS = _family("(t2v|i2v)(-a14b)?", "wan-tiny")
ONE_EXPERT = _family("ti2v(-5b)?|i2v-5b|t2v-1[.]3b|(s2v|animate)(-14b)?", "wan-tiny-i2v")

NO_TIME = "^[0hms]+$"
SIDE_MAX = 9984  # the largest multiple of 32 that four digits hold


@dataclass(frozen=True)
class Rule:
    """One rule, twice: `cel` with `message_cel` over `self`, the spec; `check` gives the message or None.

    `field` is where the API server reports it: a JSON path below spec.
    """

    id: str
    field: str
    cel: str
    message_cel: str
    check: Callable[[View], str | None]


def problems_of(spec: View) -> tuple[str, ...]:
    """Every broken rule as one line, in the order of the table. `spec` has camelCase names and no nulls."""
    messages = (rule.check(spec) for rule in RULES)
    return tuple(message for message in messages if message is not None)


def matches(model: object, pattern: str) -> bool:
    """What `self.model.matches(pattern)` says in CEL."""
    return isinstance(model, str) and re.search(pattern, model) is not None


def _no_nul(field: str) -> Rule:
    message = f"spec.{field}: contains the NUL character"
    return Rule(
        id=f"{field}-nul",
        field=f".{field}",
        cel=f"!has(self.{field}) || !self.{field}.contains('\\u0000')",
        message_cel=f"'{message}'",
        check=lambda spec: message if "\0" in spec.get(field, "") else None,
    )


def _no_parent(field: str) -> Rule:
    message = f'spec.{field}: contains ".."'
    return Rule(
        id=f"{field}-parent",
        field=f".{field}",
        cel=f"!has(self.{field}) || !self.{field}.contains('..')",
        message_cel=f"'{message}'",
        check=lambda spec: message if ".." in spec.get(field, "") else None,
    )


def _frames() -> Rule:
    def check(spec: View) -> str | None:
        frames = spec.get("frames", 1)
        if not matches(spec.get("model"), FRAMES_4K1) or frames % 4 == 1:
            return None
        below = (frames - 1) // 4 * 4 + 1
        return f"spec.frames: {frames} is not 4k+1; nearest: {below}, {below + 4}"

    return Rule(
        id="frames-4k1",
        field=".frames",
        cel=f"!has(self.frames) || self.frames % 4 == 1 || !self.model.matches('{FRAMES_4K1}')",
        message_cel="'spec.frames: %d is not 4k+1; nearest: %d, %d'.format("
        "[self.frames, (self.frames - 1) / 4 * 4 + 1, (self.frames - 1) / 4 * 4 + 5])",
        check=check,
    )


def down(side: int, stride: int) -> int:
    """The multiple of `stride` at or below `side`, at least one stride."""
    return max(stride, side // stride * stride)


def up(side: int, stride: int) -> int:
    """The multiple of `stride` at or above `side`, of four digits at most."""
    return min(SIDE_MAX, -(-side // stride) * stride)


def _resolution(stride: int) -> Rule:
    """Sides on the stride: 32 for the models of `STRIDE_32`, 16 for all others.

    Nearest are the size with both sides rounded down and the one rounded up.
    """
    is_of_32 = f"self.model.matches('{STRIDE_32}')"
    other_stride = f"!{is_of_32}" if stride == 32 else is_of_32

    def check(spec: View) -> str | None:
        if "resolution" not in spec or matches(spec.get("model"), STRIDE_32) != (stride == 32):
            return None
        width, height = (int(side) for side in spec["resolution"].split("x"))
        if width % stride == 0 and height % stride == 0:
            return None
        near = [f"{f(width, stride)}x{f(height, stride)}" for f in (down, up)]
        return f"spec.resolution: {width}x{height} is not a multiple of {stride}; nearest: {', '.join(near)}"

    width, height = (f"int(self.resolution.split('x')[{i}])" for i in (0, 1))
    sides = ", ".join(
        [f"({s} < {stride} ? {stride} : {s} / {stride} * {stride})" for s in (width, height)]
        + [
            f"({s} > {SIDE_MAX} ? {SIDE_MAX} : ({s} + {stride - 1}) / {stride} * {stride})"
            for s in (width, height)
        ]
    )
    return Rule(
        id=f"resolution-{stride}",
        field=".resolution",
        # The API server runs rules on text that breaks its pattern too: int() would fail there.
        cel=f"!has(self.resolution) || {other_stride} || !self.resolution.matches('{RESOLUTION_PATTERN}')"
        f" || ({width} % {stride} == 0 && {height} % {stride} == 0)",
        message_cel=f"'spec.resolution: %s is not a multiple of {stride}; nearest: %dx%d, %dx%d'"
        f".format([self.resolution, {sides}])",
        check=check,
    )


def _image_needed() -> Rule:
    def check(spec: View) -> str | None:
        if "image" in spec or not matches(spec.get("model"), NEEDS_IMAGE):
            return None
        return f"spec.image: missing; {spec['model']} starts from an image: s3://BUCKET/KEY"

    return Rule(
        id="image-needed",
        field=".image",
        cel=f"has(self.image) || !self.model.matches('{NEEDS_IMAGE}')",
        message_cel="'spec.image: missing; %s starts from an image: s3://BUCKET/KEY'.format([self.model])",
        check=check,
    )


def _image_refused() -> Rule:
    def check(spec: View) -> str | None:
        if "image" not in spec or not matches(spec.get("model"), TAKES_NO_IMAGE):
            return None
        near = "wan-tiny-i2v" if matches(spec["model"], "tiny") else "i2v-A14B, ti2v-5B"
        return f"spec.image: {spec['model']} takes no image; nearest: {near}"

    return Rule(
        id="image-refused",
        field=".image",
        cel=f"!has(self.image) || !self.model.matches('{TAKES_NO_IMAGE}')",
        message_cel="'spec.image: %s takes no image; nearest: %s'.format("
        "[self.model, self.model.matches('tiny') ? 'wan-tiny-i2v' : 'i2v-A14B, ti2v-5B'])",
        check=check,
    )


def _guidance_form() -> Rule:
    message = "spec.guidance: give either scale, or high and low together"

    def check(spec: View) -> str | None:
        given = spec.get("guidance")
        return None if given is None or set(given) in ({"scale"}, {"high", "low"}) else message

    return Rule(
        id="guidance-form",
        field=".guidance",
        cel="!has(self.guidance) || (has(self.guidance.high) == has(self.guidance.low)"
        " && has(self.guidance.scale) != has(self.guidance.high))",
        message_cel=f"'{message}'",
        check=check,
    )


def _guidance(experts: int, family: str, wrong: set[str], wrong_cel: str, words: str) -> Rule:
    def check(spec: View) -> str | None:
        if set(spec.get("guidance", ())) != wrong or not matches(spec.get("model"), family):
            return None
        return f"spec.guidance: {spec['model']} has {words}"

    return Rule(
        id=f"guidance-experts-{experts}",
        field=".guidance",
        cel=f"!has(self.guidance) || !({wrong_cel}) || !self.model.matches('{family}')",
        message_cel=f"'spec.guidance: %s has {words}'.format([self.model])",
        check=check,
    )


def _deadline(name: str) -> Rule:
    def check(spec: View) -> str | None:
        value = spec.get("deadlines", {}).get(name, "1s")
        wrong = re.search(NO_TIME, value) is not None
        return f"spec.deadlines.{name}: {shown(value)} is no time at all; nearest: 1s" if wrong else None

    path = f"self.deadlines.{name}"
    return Rule(
        id=f"deadline-{name}",
        field=f".deadlines.{name}",
        cel=f"!has(self.deadlines) || !has({path}) || !{path}.matches('{NO_TIME}')",
        message_cel=f"'spec.deadlines.{name}: \"%s\" is no time at all; nearest: 1s'.format([{path}])",
        check=check,
    )


RULES: tuple[Rule, ...] = (
    _no_nul("prompt"),
    _no_nul("negativePrompt"),
    _no_parent("image"),
    _image_needed(),
    _image_refused(),
    _resolution(16),
    _resolution(32),
    _frames(),
    _guidance_form(),
    _guidance(
        2,
        TWO_EXPERTS,
        {"scale"},
        "has(self.guidance.scale) && !has(self.guidance.high) && !has(self.guidance.low)",
        "two experts: give high and low",
    ),
    _guidance(
        1,
        ONE_EXPERT,
        {"high", "low"},
        "has(self.guidance.high) && has(self.guidance.low) && !has(self.guidance.scale)",
        "one expert: give scale",
    ),
    _deadline("start"),
    _deadline("run"),
)
