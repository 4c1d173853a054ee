"""A manifest is read whole, or every fault in it is said at once."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from tests.wan_core.api.bad_manifests import BAD, GOOD, as_json, with_spec
from tests.wan_core.api.cases import VALID
from wan_core.api.manifest import read_manifest
from wan_core.api.spec import Spec
from wan_core.errors import InvalidInput

EXAMPLES = Path(__file__).parents[3] / "examples"

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.sampled_from(["t2v-A14B", "1280x720", "s3://a-b/c", "wan.video/v1alpha1", "VideoGeneration"]),
)
NAMES = [field.alias or "" for field in Spec.model_fields.values()]
KEYS = st.text(max_size=8) | st.sampled_from([*NAMES, "metadata", "spec", "name", "high", "models", "run"])
DOCUMENTS = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6)
)
RESOURCES = st.fixed_dictionaries(
    {
        "apiVersion": st.just("wan.video/v1alpha1"),
        "kind": st.just("VideoGeneration"),
        "metadata": st.fixed_dictionaries({"name": LEAVES}),
        "spec": st.dictionaries(KEYS, DOCUMENTS, max_size=8),
    }
)


@pytest.mark.parametrize(("text", "lines"), BAD.values(), ids=BAD)
def test_every_fault_is_one_clear_line(text, lines):
    with pytest.raises(InvalidInput) as raised:
        read_manifest(text, "m.yaml")
    assert raised.value.problems == lines


@pytest.mark.parametrize("text", [text for text, _ in BAD.values()], ids=BAD)
def test_no_message_carries_a_character_that_steers_a_terminal(text):
    with pytest.raises(InvalidInput) as raised:
        read_manifest(text, "m.yaml")
    assert all(problem.isprintable() for problem in raised.value.problems)


@pytest.mark.parametrize(
    ("line", "said"), [("field{}: 1", 51), ("seed: 1", 50)], ids=["unknown fields", "duplicate keys"]
)
def test_a_thousand_faults_are_not_a_thousand_lines(line, said):
    with pytest.raises(InvalidInput) as raised:
        read_manifest(with_spec("\n".join(line.format(n) for n in range(1000))))
    assert len(raised.value.problems) == said


def test_a_manifest_is_read():
    resource = read_manifest(GOOD)
    assert resource.metadata.name == "tiny"
    assert resource.metadata.namespace == "default"
    assert resource.spec.prompt == "a red circle moving right"
    assert resource.spec.frames is None


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_are_valid(path):
    read_manifest(path.read_bytes(), path.name)


@pytest.mark.parametrize("spec", VALID.values(), ids=VALID)
def test_json_is_read_with_escapes_as_any_program_writes_it(spec):
    assert json.loads(json.dumps(spec))["prompt"] == read_manifest(as_json(json.dumps(spec))).spec.prompt


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        pytest.param("frames: 81.0", "frames", 81, id="a whole float is an integer, as in JSON"),
        pytest.param("seed: 1e3", "seed", 1000, id="an exponent is a number, as kubectl reads it"),
        pytest.param("seed: 0x1F", "seed", 31, id="hexadecimal"),
        pytest.param("seed: 0o17", "seed", 15, id="octal"),
        pytest.param("seed: +7", "seed", 7, id="a plus sign"),
        pytest.param("shift: .5", "shift", 0.5, id="a bare fraction"),
        pytest.param("suspend: yes", "suspend", True, id="yes is true, as kubectl reads it"),
        pytest.param("frames:", "frames", None, id="a field without a value is absent"),
        pytest.param("negativePrompt: 12:30", "negative_prompt", "12:30", id="a clock time is a string"),
        pytest.param("negativePrompt: 2026-11-21", "negative_prompt", "2026-11-21", id="a date is a string"),
        pytest.param("negativePrompt: !!str 40", "negative_prompt", "40", id="a string by its tag"),
        pytest.param("negativePrompt: '40'", "negative_prompt", "40", id="a string by its quotes"),
        pytest.param("negativePrompt: |\n  a\n  b", "negative_prompt", "a\nb\n", id="a block"),
        pytest.param('negativePrompt: "\\e[31m"', "negative_prompt", "\x1b[31m", id="an escaped escape"),
        pytest.param("negativePrompt: &x a", "negative_prompt", "a", id="an anchor that nothing uses"),
        pytest.param("deadlines: {run: }", "deadlines", None, id="null inside a group"),
    ],
)
def test_a_scalar_is_what_kubernetes_users_expect(line, field, value):
    read = getattr(read_manifest(with_spec(line)).spec, field)
    assert (read.run if field == "deadlines" else read) == value


@pytest.mark.parametrize(
    "more",
    ["status: {phase: Succeeded, made: up}", "...", "---\n# nothing more", "# a comment: \U0001f600"],
)
def test_what_the_api_server_ignores_is_ignored(more):
    assert read_manifest(GOOD + more) == read_manifest(GOOD)


def test_metadata_that_we_do_not_read_is_ignored():
    text = GOOD.replace(
        "name: tiny", "name: tiny\n  creationTimestamp: null\n  labels: {a: b}\n  annotations: {c: d}"
    )
    assert read_manifest(text).metadata.name == "tiny"


@given(st.binary(max_size=400) | st.text(max_size=400))
@example(b"\xef\xbb\xbf")
@example("{" * 5000)
@example("? " * 200)
@example("a: \u2028\t*")
def test_no_text_raises_anything_but_invalid_input(content):
    with contextlib.suppress(InvalidInput):
        read_manifest(content)


@given(DOCUMENTS | RESOURCES)
def test_no_document_raises_anything_but_invalid_input(data):
    for text in (json.dumps(data), yaml.safe_dump(data)):
        with contextlib.suppress(InvalidInput):
            read_manifest(text)
