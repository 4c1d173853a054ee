"""Bad input, by the tables of the local half: the API server refuses it, and where it does not the operator
says what is wrong. Suspended where it could run, so that nothing but the judgement is tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from tests.controlplane.client import ApiError, Document
from tests.e2e.bed import Bed, Options, wait_until
from tests.e2e.films import TINY, Films
from tests.e2e.rest import NO_RESYNC, assert_at_rest, the_same_operator
from tests.wan_core.api.cases import BROKEN, CHANGES, MISSHAPEN, VALID

BED = Options(
    namespaces=8,
    values=NO_RESYNC
    | {"runner": {"priorityClassNames": ["video.low-1"]}, "imageBuckets": ["inputs", "a.b-c"]},
)
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/videogenerations.wan.video"
# What the schema admits and only the operator knows: reason, and words of the message.
JUDGED = {
    "the longest": ("InvalidInput", "spec.frames: 1001 is more than t2v-A14B makes, 161; nearest: 161"),
    "a model nobody knows": ("InvalidInput", 'spec.model: "sora" is not in the catalogue'),
    "terminal escapes": ("InvalidInput", "spec.prompt: has 3 control characters, the first U+001B"),
    "frames of speech are not 4k+1": ("ModelCannotRun", "spec.model: s2v-14B cannot run yet"),
}
FINALIZER = "example.com/x"
OF_THE_DECODER = ("an unknown field", "a snake-case field")  # whose answer is 400: it comes before the schema
OUR_WORDS = {  # like MISSHAPEN: what pydantic would say at the top, had the CRD nothing to say about it
    "a spec of text": ("a corgi", "spec: expected a mapping"),
    "a spec of a number": (42, "spec: expected a mapping"),
    "a spec of a list": ([TINY], "spec: expected a mapping"),
}


@pytest.fixture(autouse=True)
def the_operator_stays(bed: Bed) -> Iterator[None]:
    with the_same_operator(bed):
        yield


def test_what_is_valid_is_admitted_and_judged(films: Films) -> None:
    for number, spec in enumerate(VALID.values()):
        films.apply(f"valid-{number}", **{**spec, "suspend": True})
    for number, title in enumerate(VALID):
        if title == "every field":
            continue  # failed, and deleted at once as its retention says; among the changes it is kept
        status = films.wait_phase(f"valid-{number}", "Suspended", "Failed")
        reason, words = JUDGED.get(title, ("Suspended", ""))
        told = (title, status["reason"], status["message"])
        assert status["reason"] == reason, told
        assert words in status["message"], told
    assert_at_rest(films)


def test_what_a_rule_refuses_never_enters(films: Films) -> None:
    for number, (title, (spec, messages)) in enumerate(BROKEN.items()):
        with pytest.raises(ApiError) as refusal:
            films.apply(f"broken-{number}", **spec)
        assert refusal.value.status == 422, title
        for message in messages:
            assert message in refusal.value.message, title


def test_what_the_schema_refuses_never_enters(films: Films) -> None:
    for number, (title, (spec, _)) in enumerate(MISSHAPEN.items()):
        with pytest.raises(ApiError) as refusal:
            films.apply(f"misshapen-{number}", **spec)
        assert refusal.value.status == (400 if title in OF_THE_DECODER else 422), title


def test_changes_are_held_to_what_may_change(films: Films) -> None:
    """A finalizer keeps those whose retention ends at once."""
    for number, (old, _, _) in enumerate(CHANGES.values()):
        create(films, f"change-{number}", {**old, "suspend": True}, finalizers=[FINALIZER])
    for number, (title, (_, new, messages)) in enumerate(CHANGES.items()):
        answer = change(films, f"change-{number}", {"suspend": True, **new})
        assert (answer is None) == (not messages), (title, answer)
        assert all(message in answer.message for message in messages if answer is not None), title
    assert_at_rest(films)


def change(films: Films, name: str, spec: Document) -> ApiError | None:
    """Replace the spec; the refusal, if there is one. The operator may write meanwhile."""
    while True:
        try:
            films.bed.api.replace(f"{films.path}/{name}", {**films.get(name), "spec": spec})
        except ApiError as refusal:
            if refusal.status != 409:
                return refusal
        else:
            return None


def test_what_an_api_server_without_our_rules_lets_through_the_operator_refuses(films: Films) -> None:
    """In the very words of the rules: an older CRD, or none of its rules, changes nothing."""
    with schema_of_spec(films, without_rules):
        for number, (spec, _) in enumerate(BROKEN.values()):
            films.apply(f"broken-{number}", **spec)
        for number, (title, (_, messages)) in enumerate(BROKEN.items()):
            status = films.wait_end(f"broken-{number}", "Failed")
            assert status["reason"] == "InvalidInput", title
            assert all(message in status["message"] for message in messages), (title, status["message"])
        assert not films.jobs()
        assert_at_rest(films)


def test_what_an_api_server_without_our_schema_lets_through_the_operator_refuses(films: Films) -> None:
    cases: Mapping[str, tuple[Any, str]] = {**MISSHAPEN, **OUR_WORDS}
    with schema_of_spec(films, lambda _: {"x-kubernetes-preserve-unknown-fields": True}):
        for number, (spec, _) in enumerate(cases.values()):
            create(films, f"misshapen-{number}", spec)
        for number, (title, (_, message)) in enumerate(cases.items()):
            status = films.wait_end(f"misshapen-{number}", "Failed")
            assert status["reason"] == "InvalidInput", title
            assert message in status["message"], (title, status["message"])
        assert not films.jobs()
        assert_at_rest(films)
        for item in films.bed.api.list(films.path):
            films.delete(item["metadata"]["name"])


def create(films: Films, name: str, spec: object, **metadata: Any) -> None:
    document = {"apiVersion": "wan.video/v1alpha1", "kind": "VideoGeneration"}
    films.bed.api.create(films.path, {**document, "metadata": {"name": name, **metadata}, "spec": spec})


def without_rules(schema: Any) -> Any:
    """The schema without its CEL rules, at every depth."""
    if isinstance(schema, list):
        return [without_rules(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: without_rules(part) for key, part in schema.items() if key != "x-kubernetes-validations"}


@contextmanager
def schema_of_spec(films: Films, change: Any) -> Iterator[None]:
    """Inside, the API server's schema of `spec` is another one."""
    api = films.bed.api
    before = properties_of(api.get(CRD))["spec"]
    put_schema(films, change(before))
    try:
        yield
    finally:
        put_schema(films, before)


def put_schema(films: Films, schema: Document) -> None:
    """Give `spec` this schema and wait until the API server goes by it."""
    while not replaced(films.bed, schema):
        pass
    strict = "x-kubernetes-validations" in schema

    def in_force() -> bool:
        try:
            films.bed.api.create(films.path, probe(), dryRun="All")
        except ApiError as refusal:
            return strict and refusal.status == 422
        return not strict

    wait_until(in_force, 120, lambda: "the schema is not in force")


def replaced(bed: Bed, schema: Document) -> bool:
    """Whether nobody changed it meanwhile: the API server itself writes its status."""
    document = bed.api.get(CRD)
    properties_of(document)["spec"] = schema
    try:
        bed.api.replace(CRD, document)
    except ApiError as refusal:
        if refusal.status != 409:
            raise
        return False
    return True


def probe() -> Document:
    """Refused by a rule."""
    document = {"apiVersion": "wan.video/v1alpha1", "kind": "VideoGeneration"}
    return {**document, "metadata": {"name": "probe"}, "spec": {**TINY, "frames": 82}}


def properties_of(crd: Document) -> dict[str, Any]:
    properties: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    return properties
