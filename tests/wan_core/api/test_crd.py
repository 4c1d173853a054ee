"""The CRD that is emitted: structural, bounded, the same as what pydantic takes, and what lies in crds/."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError as SchemaError
from jsonschema.validators import extend
from pydantic import ValidationError

from tests.wan_core.api.cases import BROKEN, MISSHAPEN, VALID
from wan_core.api import crd
from wan_core.api.spec import Spec

SCHEMA = crd.build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
FIELDS = SCHEMA["properties"]["spec"]["properties"]
ETCD_BYTES = 3 * 2**19  # of one request, by etcd's default --max-request-bytes: 1.5 MiB
NUMBER_BYTES = 24  # of the longest number or boolean in JSON
INT_BOUNDS = {"int32": 2**31 - 1, "int64": 2**63 - 1}


def nodes(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema below `schema`, itself included, with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


def largest(schema: dict[str, Any]) -> int:
    """Bytes of the largest JSON that the schema allows, of ASCII."""
    if schema["type"] == "object":
        return 2 + sum(len(name) + 4 + largest(child) for name, child in schema["properties"].items())
    if schema["type"] == "array":
        return 2 + int(schema["maxItems"]) * (1 + largest(schema["items"]))
    return 2 + int(schema["maxLength"]) if schema["type"] == "string" else NUMBER_BYTES


OURS = [
    node for part in ("spec", "status") for node in nodes(SCHEMA["properties"][part], part)
]  # fmt: skip


def go_pattern(validator: Any, pattern: str, instance: Any, _: Any) -> Iterator[SchemaError]:
    """RE2's `$` is the very end of the text; Python's stops before a last newline too."""
    if isinstance(instance, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), instance):
        yield SchemaError(f"{instance!r} does not match {pattern}")


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` without unknown fields: what strict field validation adds on the API server."""
    copy = dict(schema)
    if "properties" in schema:
        copy["properties"] = {name: closed(child) for name, child in schema["properties"].items()}
        copy["additionalProperties"] = False
    if "items" in schema:
        copy["items"] = closed(schema["items"])
    return copy


VALIDATOR = extend(Draft202012Validator, {"pattern": go_pattern})(closed(SCHEMA["properties"]["spec"]))


def taken_by_pydantic(spec: dict[str, Any]) -> bool:
    try:
        Spec.model_validate(spec, by_alias=True, by_name=False)
    except ValidationError:
        return False
    return True


def values_near(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values around the edges of what `schema` takes, and of other types."""
    kind = schema["type"]
    if kind == "object":
        fields = {name: values_near(child) for name, child in schema["properties"].items()}
        return st.fixed_dictionaries({}, optional=fields)
    if kind == "array":
        return st.lists(values_near(schema["items"]), max_size=schema["maxItems"] + 1)
    if kind in ("integer", "number"):
        low, high = schema["minimum"], schema["maximum"]
        edges = [low, high, low - 1, high + 1, float(low), low + 0.5, str(low), True]
        return st.sampled_from(edges) | st.integers(low // 1, int(high)) | st.floats(low, high)
    if kind == "boolean":
        return st.booleans() | st.sampled_from(["true", 0, 1])
    if "enum" in schema:
        return st.sampled_from([*schema["enum"], schema["enum"][0].upper(), "", 1])
    texts = st.text(max_size=4) | st.integers(0, 3).map(lambda n: "a" * (schema["maxLength"] - 1 + n))
    if "pattern" in schema:
        texts |= st.from_regex(schema["pattern"].replace("$", r"\Z"), fullmatch=False)
    return texts | st.just(7)


SPECS = st.fixed_dictionaries(
    {"model": st.sampled_from(["t2v-A14B", "a..b"]), "prompt": st.text(min_size=1, max_size=4)},
    optional={name: values_near(child) for name, child in FIELDS.items() if name not in ("model", "prompt")},
)


def test_the_crd_in_the_tree_is_the_one_emitted(capsys):
    assert crd.main(["--check"]) == 0, capsys.readouterr().err


def test_check_says_what_to_do_when_the_crd_drifted(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(crd, "PATH", tmp_path / "crd.yaml")
    assert crd.main(["--check"]) == 1
    assert "make crds" in capsys.readouterr().err
    assert crd.main(["--write"]) == 0
    assert crd.main(["--check"]) == 0


@pytest.mark.parametrize(("path", "schema"), OURS, ids=[path for path, _ in OURS])
def test_every_part_of_the_schema_is_structural_and_bounded(path, schema):
    bounds = {
        "string": {"maxLength"},
        "array": {"maxItems", "items"},
        "integer": {"minimum", "maximum", "format"},
        "number": {"minimum", "maximum", "format"},
        "object": {"properties"},
        "boolean": set(),
    }
    assert bounds[schema["type"]] <= set(schema)
    assert not {"$ref", "anyOf", "oneOf", "default", "title", "additionalProperties", "nullable"} & set(
        schema
    )
    if schema["type"] == "integer":
        assert schema["maximum"] <= INT_BOUNDS[schema["format"]]


def test_the_largest_status_leaves_etcd_room_for_the_rest():
    assert largest(SCHEMA["properties"]["status"]) < ETCD_BYTES * 3 / 4


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_of_the_request_explains_itself(name):
    assert FIELDS[name]["description"].endswith((".", ".)"))


def test_the_crd_names_what_users_type():
    names = crd.build_crd()["spec"]["names"]
    assert names["shortNames"] == ["vgen", "vg"]
    assert names["categories"] == ["all"]


def test_the_columns_are_those_of_the_design():
    columns = crd.build_crd()["spec"]["versions"][0]["additionalPrinterColumns"]
    shown = [column["name"].upper() for column in columns if not column.get("priority")]
    wide = [column["name"].upper() for column in columns if column.get("priority")]
    assert shown == ["PHASE", "PROGRESS", "ETA", "MODEL", "PLAN", "GPU", "AGE"]
    assert wide == ["NODE", "ATTEMPTS", "REASON", "OUTPUT"]


@pytest.mark.parametrize("column", crd.COLUMNS, ids=[column[0] for column in crd.COLUMNS])
def test_a_column_shows_a_field_that_exists(column):
    path = re.sub(r"\[.*?\]", "[]", column[2]).removeprefix(".")
    assert path in {path for path, _ in OURS} | {"metadata.creationTimestamp"}


def test_all_fields_but_retention_suspend_and_cancel_are_immutable():
    rules = SCHEMA["properties"]["spec"]["x-kubernetes-validations"]
    held = {rule["fieldPath"].removeprefix(".") for rule in rules if "oldSelf" in rule["rule"]}
    assert set(FIELDS) - held == {"retention", "suspend", "cancel"}


@pytest.mark.parametrize("spec", [*VALID.values(), *(spec for spec, _ in BROKEN.values())])
def test_the_schema_takes_what_only_rules_can_refuse(spec):
    VALIDATOR.validate(spec)


@pytest.mark.parametrize("spec", [spec for spec, _ in MISSHAPEN.values()], ids=MISSHAPEN)
def test_the_schema_refuses_what_pydantic_refuses(spec):
    assert not VALIDATOR.is_valid(spec)


@given(SPECS)
def test_pydantic_and_the_emitted_schema_take_the_same_requests(spec):
    assert taken_by_pydantic(spec) == VALIDATOR.is_valid(spec)


@given(SPECS.filter(taken_by_pydantic))
def test_a_request_survives_a_round_trip(spec):
    parsed = Spec.model_validate(spec, by_alias=True)
    assert Spec.model_validate(json.loads(json.dumps(parsed.to_dict()))) == parsed
