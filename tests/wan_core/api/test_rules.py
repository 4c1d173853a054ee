"""The rules across fields, in Python and in CEL, on the same cases."""

from __future__ import annotations

import json

import pytest
from cel_expr_python import cel
from cel_expr_python.ext import ext_strings

from tests.wan_core.api.cases import BROKEN, CHANGES, MISSHAPEN, VALID, Spec
from wan_core.api.crd import build_crd
from wan_core.api.manifest import read_manifest
from wan_core.api.rules import RULES, problems_of
from wan_core.api.spec import API_VERSION, KIND
from wan_core.api.status import VideoGeneration
from wan_core.errors import InvalidInput

ENVIRONMENT = cel.NewEnv(
    variables={"self": cel.Type.DYN, "oldSelf": cel.Type.DYN}, extensions=[ext_strings.ExtStrings()]
)
# The evaluator cuts strings at NUL on their way in. The API server does not: it is asked in the e2e tests.
IN_CEL = {
    name: case
    for name, case in BROKEN.items()
    if "\0" not in str(case[0].get("prompt", "")) + str(case[0].get("negativePrompt", ""))
}


def read(spec: Spec) -> VideoGeneration:
    resource = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "a"}, "spec": spec}
    return read_manifest(json.dumps(resource))


def evaluate(expression: str, **data: object) -> object:
    return ENVIRONMENT.compile(expression).eval(data=data).plain_value()


def emitted_rules() -> list[dict[str, str]]:
    schema = build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema["properties"]["spec"]["x-kubernetes-validations"]


def broken_in_cel(new: Spec, old: Spec | None) -> tuple[str, ...]:
    """Messages of the emitted rules that `new`, which replaces `old`, breaks."""
    messages = []
    for rule in emitted_rules():
        if "oldSelf" in rule["rule"] and old is None:
            continue
        if not evaluate(rule["rule"], self=new, oldSelf=old):
            expression = rule.get("messageExpression")
            messages.append(rule["message"] if expression is None else str(evaluate(expression, self=new)))
    return tuple(messages)


@pytest.mark.parametrize("spec", VALID.values(), ids=VALID)
def test_a_valid_request_breaks_no_rule(spec):
    read(spec)
    assert problems_of(spec) == ()


@pytest.mark.parametrize("spec", VALID.values(), ids=VALID)
def test_a_valid_request_breaks_no_rule_in_cel(spec):
    assert broken_in_cel(spec, None) == ()


@pytest.mark.parametrize(("spec", "messages"), BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_is_named_with_the_nearest_valid_values(spec, messages):
    with pytest.raises(InvalidInput) as raised:
        read(spec)
    assert raised.value.problems == messages


@pytest.mark.parametrize(("spec", "messages"), IN_CEL.values(), ids=IN_CEL)
def test_cel_breaks_the_same_rules_with_the_same_words(spec, messages):
    assert broken_in_cel(spec, None) == messages


@pytest.mark.parametrize(("spec", "message"), MISSHAPEN.values(), ids=MISSHAPEN)
def test_a_field_out_of_shape_is_named(spec, message):
    with pytest.raises(InvalidInput) as raised:
        read(spec)
    assert raised.value.problems == (message,)


@pytest.mark.parametrize(("old", "new", "messages"), CHANGES.values(), ids=CHANGES)
def test_only_retention_suspend_and_cancel_may_change(old, new, messages):
    assert broken_in_cel(new, old) == messages


@pytest.mark.parametrize("spec", [spec for spec, _ in MISSHAPEN.values()], ids=MISSHAPEN)
def test_a_text_out_of_shape_breaks_no_rule_with_an_error(spec):
    """The API server evaluates rules although a pattern is not met."""
    if all(isinstance(spec.get(field), str) for field in ("model", "prompt", "resolution")):
        assert broken_in_cel(spec, None) == ()


def test_every_rule_is_broken_by_some_case():
    broken = {rule.id for spec, _ in BROKEN.values() for rule in RULES if rule.check(spec)}
    assert broken == {rule.id for rule in RULES}


def test_rules_are_silent_on_absent_fields():
    assert problems_of({}) == ()
