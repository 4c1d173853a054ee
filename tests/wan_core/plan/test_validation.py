"""Manifests against the API and the catalogue, as data."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_core.api.bad_manifests import BAD
from wan_core.plan.validation import Problem, problem_of_line, validate

HEAD = "apiVersion: wan.video/v1alpha1\nkind: VideoGeneration\n"
GOOD = HEAD + "metadata: {name: tiny}\nspec: {model: wan-tiny, prompt: a red circle}\n"
LONG = HEAD + "metadata: {name: long}\nspec: {model: wan-tiny, prompt: a red circle, frames: 82}\n"
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: other}\n"


def test_a_valid_document_has_its_request_complete() -> None:
    (document,) = validate(GOOD).documents
    assert document.valid
    assert (document.name, document.model) == ("tiny", "wan-tiny")
    (request,) = document.requests
    assert (request.width, request.height, request.frames) == (64, 64, 17)


def test_a_problem_has_its_path_value_rule_and_the_nearest_valid_values() -> None:
    (document,) = validate(
        GOOD.replace("wan-tiny", "t2v-A14B").replace("circle", "circle, frames: 82")
    ).documents
    assert document.problems == (
        Problem(
            path="spec.frames",
            value=82,
            rule="82 is not 4k+1",
            nearest=("81", "85"),
            text="spec.frames: 82 is not 4k+1; nearest: 81, 85",
        ),
    )


def test_every_problem_is_told_at_once() -> None:
    text = GOOD.replace("circle", "circle, resolution: 65x64, frames: 18, stepz: 3")
    (document,) = validate(text).documents
    assert {p.path for p in document.problems} == {"spec.resolution", "spec.frames", "spec.stepz"}


def test_a_word_that_was_meant_is_the_nearest() -> None:
    (document,) = validate(GOOD.replace("prompt", "promt")).documents
    by_path = {problem.path: problem for problem in document.problems}
    assert by_path["spec.promt"].nearest == ("spec.prompt",)


@pytest.mark.parametrize(
    ("line", "path", "nearest"),
    [
        pytest.param("spec.frames: 82 is odd; nearest: 81, 85", "spec.frames", ("81", "85"), id="numbers"),
        pytest.param("spec.a: unknown; did you mean spec.b?", "spec.a", ("spec.b",), id="a field"),
        pytest.param("spec.a.b[0]: x is unknown", "spec.a.b[0]", (), id="an entry of a list"),
        pytest.param("m.yaml line 3: is not YAML", "", (), id="a place in the text"),
        pytest.param("standard input: is empty", "", (), id="a whole text"),
    ],
)
def test_a_line_is_read_as_its_parts(line: str, path: str, nearest: tuple[str, ...]) -> None:
    problem = problem_of_line(line)
    assert (problem.path, problem.nearest, problem.text) == (path, nearest, line)


@pytest.mark.parametrize(("text", "lines"), BAD.values(), ids=BAD)
def test_the_problems_are_those_that_wan_run_tells(text: str | bytes, lines: tuple[str, ...]) -> None:
    checked = validate(text, "m.yaml")
    said = [problem.text for document in checked.documents for problem in document.problems]
    if len(checked.documents) == 1:  # several in one text are no fault here
        assert said == list(lines)


def test_each_document_of_a_text_is_checked_by_itself() -> None:
    checked = validate(f"# three\n---\n{GOOD}---\n{LONG}---\n{SERVICE}...\n", "all.yaml")
    assert [(d.source, d.valid) for d in checked.documents] == [
        ("all.yaml document 1", True),
        ("all.yaml document 2", False),
    ]
    assert checked.skipped == ("all.yaml document 3: v1 Service",)


def test_a_fault_in_one_document_is_told_by_its_line_of_the_whole_text() -> None:
    checked = validate(f"{GOOD}---\n{GOOD}  x: [\n", "all.yaml")
    (problem,) = checked.documents[1].problems
    assert "line 10" in problem.text


def test_dashes_within_a_text_begin_no_document() -> None:
    text = HEAD + "metadata: {name: a}\nspec:\n  model: wan-tiny\n  prompt: |\n    one\n    ---\n    two\n"
    (document,) = validate(text).documents
    assert document.requests[0].prompt == "one\n---\ntwo\n"


def test_the_items_of_a_list_are_documents() -> None:
    import yaml

    items = [yaml.safe_load(text) for text in (GOOD, LONG, SERVICE)]
    checked = validate(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}), "list.json")
    assert [(d.name, d.valid) for d in checked.documents] == [("tiny", True), ("long", False)]
    assert checked.skipped == ("list.json items[2]: v1 Service",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("", "is empty", id="nothing"),
        pytest.param("# only words\n---\n---\n", "documents", id="comments and markers"),
        pytest.param(SERVICE, "is not", id="another kind"),
    ],
)
def test_a_text_without_a_video_is_invalid_where_one_is_expected(text: str, words: str) -> None:
    checked = validate(text, "m.yaml")
    assert [document.valid for document in checked.documents] == [False]
    assert not validate(text, "m.yaml", expected=False).documents


def test_a_model_that_cannot_run_is_a_problem() -> None:
    text = HEAD + "metadata: {name: a}\nspec: {model: s2v-14B, prompt: x, image: 's3://inputs/a.png'}\n"
    (document,) = validate(text).documents
    (problem,) = document.problems
    assert problem.path == "spec.model"
    assert "cannot run yet" in problem.text


def test_what_an_id_was_read_as_is_noted() -> None:
    (document,) = validate(GOOD.replace("wan-tiny", "wan_implementation:t2v-A14B")).documents
    assert document.notes == ('"wan_implementation:t2v-A14B" is read as t2v-A14B',)


@given(st.text(max_size=200), st.integers(0, 2))
def test_no_text_is_too_odd_to_be_judged(text: str, copies: int) -> None:
    checked = validate("---\n".join([text, *[GOOD] * copies]), "m.yaml")
    assert all(p.text.isprintable() for d in checked.documents for p in d.problems)
