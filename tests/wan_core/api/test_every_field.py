"""Whatever a field is given: it is read, or refused by a line that names it; several faults at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wan_core.api.cases import IMAGE
from wan_core.api.manifest import read_manifest
from wan_core.api.spec import (
    API_VERSION,
    KIND,
    Deadlines,
    Fallback,
    Guidance,
    Retention,
    Scheduling,
    Spec,
)
from wan_core.errors import InvalidInput
from wan_core.plan.asked import build_requests, model_problems, why_unrunnable

UID = "7a1c0f5e-0000-4000-8000-000000000001"
KINDS = {
    "guidance": Guidance,
    "fallback": Fallback,
    "scheduling": Scheduling,
    "deadlines": Deadlines,
    "retention": Retention,
}
ALIASES = [field.alias for field in Spec.model_fields.values()]
LEAVES = [name for name in ALIASES if name not in KINDS] + [
    f"{group}.{field.alias}" for group, kind in KINDS.items() for field in kind.model_fields.values()
]
# What no field of a spec takes, whatever its type.
NEVER: tuple[Any, ...] = ({"a": 1}, [{}], [[]], 1e300, -1, -0.5, "", "\ud800", "\0", "../x", "x" * 9000)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def with_field(path: str, value: Any) -> dict[str, Any]:
    group, _, name = path.partition(".")
    return {**IMAGE, group: {**IMAGE.get(group, {}), name: value}} if name else {**IMAGE, group: value}


def problems_in(spec: dict[str, Any]) -> tuple[str, ...]:
    """All that is said against a manifest of this spec, by its form and by the catalogue."""
    resource = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "a"}, "spec": spec}
    try:
        read = read_manifest(json.dumps(resource), check=model_problems)
        build_requests(read.spec, UID)
    except InvalidInput as error:
        return error.problems
    return why_unrunnable(read.spec)


def test_there_is_a_field_of_every_kind() -> None:
    assert {"model", "image", "guidance.high", "fallback.models", "retention.failed", "cancel"} <= set(LEAVES)


@pytest.mark.parametrize("path", LEAVES)
@pytest.mark.parametrize("value", NEVER, ids=[str(i) for i in range(len(NEVER))])
def test_what_no_field_takes_is_refused_by_its_path(path: str, value: Any) -> None:
    if value == "" and path == "negativePrompt":
        return  # steers away from nothing
    if value == "../x" and path in ("prompt", "negativePrompt"):
        return  # any text will do
    problems = problems_in(with_field(path, value))
    assert any(line.startswith(f"spec.{path}") for line in problems), problems
    assert all(line.isprintable() and len(line) < 1000 for line in problems), problems


@given(st.sampled_from([*ALIASES, *LEAVES]), ANY)
@settings(max_examples=100, deadline=None)
def test_any_value_of_any_field_is_read_or_told_of(path: str, value: Any) -> None:
    head = f"spec.{path.split('.')[0]}"
    for line in problems_in(with_field(path, value)):
        # A model or an image that is gone brings the rules of others with it.
        assert line.startswith((head, "spec.image", "spec.guidance", "spec.resolution", "spec.frames")), line
        assert line.isprintable()


@given(st.dictionaries(st.sampled_from(LEAVES), st.sampled_from(NEVER), min_size=2, max_size=6))
@settings(max_examples=100, deadline=None)
def test_several_faults_are_told_at_once(faults: dict[str, Any]) -> None:
    spec = dict(IMAGE)
    for path, value in faults.items():
        group, _, name = path.partition(".")
        spec = {**spec, group: {**spec.get(group, {}), name: value} if name else value}
    problems = problems_in(spec)
    form = [path for path, value in faults.items() if isinstance(value, dict | float)]
    for path in form:
        assert any(line.startswith(f"spec.{path}") for line in problems), (path, problems)
