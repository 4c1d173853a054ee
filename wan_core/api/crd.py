"""The CustomResourceDefinition, emitted from the models: `python -m wan_core.api.crd [--write | --check]`.

A structural schema: no references, no alternatives, every string, list and number bounded. No defaults: an
absent field stays absent in what is stored, and the operator fills it in when it plans, so that a later
version may have other defaults without changing what was asked. Rules across fields come from `rules`; each
field but those in MUTABLE is held as it was created.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from wan_core.api import rules
from wan_core.api.spec import GROUP, KIND, VERSION, Spec
from wan_core.api.status import Status

PLURAL = "videogenerations"
PATH = Path(__file__).parents[2] / "crds" / f"{PLURAL}.{GROUP}.yaml"
HEADER = "# Generated from wan_core/api by `make crds`. Do not edit.\n"
MUTABLE = frozenset({"retention", "suspend", "cancel"})
INT32_MAX = 2**31 - 1
DATE_TIME_MAX = 64

Schema = dict[str, Any]

# Name, type, JSON path, and 1 for what only `-o wide` shows.
COLUMNS: tuple[tuple[str, str, str, int], ...] = (
    ("Phase", "string", ".status.phase", 0),
    ("Progress", "integer", ".status.progress.percent", 0),
    ("ETA", "string", ".status.progress.eta", 0),
    ("Model", "string", ".spec.model", 0),
    ("Plan", "string", ".status.plan.label", 0),
    ("GPU", "string", ".status.attempts[-1:].gpu", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Node", "string", ".status.attempts[-1:].node", 1),
    ("Attempts", "integer", ".status.attempts[-1:].number", 1),
    ("Reason", "string", ".status.reason", 1),
    ("Output", "string", ".status.output.uri", 1),
)


def build_crd() -> dict[str, Any]:
    """The whole CustomResourceDefinition as plain data."""
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(*column) for column in COLUMNS],
        "schema": {"openAPIV3Schema": _resource()},
    }
    names = {
        "plural": PLURAL,
        "singular": KIND.lower(),
        "kind": KIND,
        "listKind": f"{KIND}List",
        "shortNames": ["vgen", "vg"],
        "categories": ["all"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def dump_crd() -> str:
    """The CustomResourceDefinition as YAML, byte for byte what lies in crds/."""
    return HEADER + yaml.safe_dump(build_crd(), sort_keys=False, width=110, allow_unicode=True)


def _column(name: str, kind: str, path: str, priority: int) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": kind, "jsonPath": path}
    if kind == "date" or not priority:
        return column
    return {**column, "priority": priority}


def _resource() -> Schema:
    spec = _schema_of(Spec)
    spec["x-kubernetes-validations"] = [*_cross_field_rules(), *_immutability_rules(spec)]
    status = _schema_of(Status)
    status["properties"]["conditions"] |= {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    }
    return {
        "type": "object",
        "description": "One requested video, and what became of it.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }


def _cross_field_rules() -> list[Schema]:
    return [
        {
            "rule": rule.cel,
            "messageExpression": rule.message_cel,
            "fieldPath": rule.field,
            "reason": "FieldValueInvalid",
        }
        for rule in rules.RULES
    ]


def _immutability_rules(spec: Schema) -> list[Schema]:
    """Transition rules at the level of spec: below it, an absent field could still be added later."""
    return [
        {
            "rule": _unchanged(name, name in spec["required"]),
            "message": f"spec.{name}: cannot be changed; create another VideoGeneration",
            "fieldPath": f".{name}",
            "reason": "FieldValueForbidden",
        }
        for name in spec["properties"]
        if name not in MUTABLE
    ]


def _unchanged(name: str, required: bool) -> str:
    same = f"self.{name} == oldSelf.{name}"
    return same if required else f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || {same})"


def _schema_of(model: type[BaseModel]) -> Schema:
    schema = model.model_json_schema(by_alias=True)
    return _structural(schema, schema.get("$defs", {}), model.__name__)


def _structural(node: Mapping[str, Any], defs: Mapping[str, Any], path: str) -> Schema:
    """`node` of pydantic's JSON schema as Kubernetes wants it; AssertionError if something is unbounded."""
    flat = _flat(node, defs)
    schema: Schema = {"type": flat["type"]}
    if text := flat.get("description"):
        schema["description"] = " ".join(text.split())
    for key in ("enum", "pattern", "minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum"):
        if key in flat:
            schema[key] = flat[key]
    return {**schema, **_BY_TYPE[flat["type"]](flat, defs, path)}


def _flat(node: Mapping[str, Any], defs: Mapping[str, Any]) -> dict[str, Any]:
    """Without references and without `or null`; what stands beside a reference wins over what it names."""
    flat = dict(node)
    if "$ref" in flat:
        flat = {**defs[flat["$ref"].removeprefix("#/$defs/")], **flat}
        del flat["$ref"]
    if "anyOf" in flat:
        (inner,) = (option for option in flat["anyOf"] if option.get("type") != "null")
        flat = {**_flat(inner, defs), **{k: v for k, v in flat.items() if k != "anyOf"}}
    return flat


def _object(flat: Mapping[str, Any], defs: Mapping[str, Any], path: str) -> Schema:
    properties = {
        name: _structural(child, defs, f"{path}.{name}") for name, child in flat["properties"].items()
    }
    required = {"required": flat["required"]} if flat.get("required") else {}
    return {**required, "properties": properties}


def _array(flat: Mapping[str, Any], defs: Mapping[str, Any], path: str) -> Schema:
    assert "maxItems" in flat, f"{path} is unbounded"
    return {"items": _structural(flat["items"], defs, f"{path}[]")}


def _string(flat: Mapping[str, Any], _: Mapping[str, Any], path: str) -> Schema:
    if flat.get("format") == "date-time":
        return {"format": "date-time", "maxLength": DATE_TIME_MAX}
    if "enum" in flat:
        return {"maxLength": max(map(len, flat["enum"]))}
    assert "maxLength" in flat, f"{path} is unbounded"
    return {}


def _integer(flat: Mapping[str, Any], _: Mapping[str, Any], path: str) -> Schema:
    assert {"minimum", "maximum"} <= set(flat), f"{path} is unbounded"
    return {"format": "int32" if flat["maximum"] <= INT32_MAX else "int64"}


def _number(flat: Mapping[str, Any], _: Mapping[str, Any], path: str) -> Schema:
    assert {"minimum", "maximum"} <= set(flat), f"{path} is unbounded"
    return {"format": "double"}


def _boolean(_: Mapping[str, Any], __: Mapping[str, Any], ___: str) -> Schema:
    return {}


_BY_TYPE = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
}


def main(arguments: list[str] | None = None) -> int:
    """Print the CRD; `--write` it to crds/; `--check` that crds/ holds it, exit 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m wan_core.api.crd", description=main.__doc__)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--write", action="store_true", help=f"write {PATH.name}")
    mode.add_argument("--check", action="store_true", help=f"exit 1 if {PATH.name} differs")
    chosen = parser.parse_args(arguments)
    if chosen.write:
        PATH.write_text(dump_crd(), encoding="utf-8")
    elif chosen.check:
        if not PATH.is_file() or PATH.read_text(encoding="utf-8") != dump_crd():
            print(f"crds/{PATH.name} differs from wan_core.api: run `make crds`", file=sys.stderr)
            return 1
    else:
        sys.stdout.write(dump_crd())
    return 0


if __name__ == "__main__":
    sys.exit(main())
