"""An administrator's own models: what an entry says over its base, and what is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_core.catalog.consistency import check_card
from wan_core.catalog.ids import resolve_model
from wan_core.catalog.models import ENTRIES, MODELS
from wan_core.catalog.own import load_catalog
from wan_core.errors import InvalidInput

CORGI = """
models:
  - id: corgi-5B
    base: ti2v-5B
    title: Corgis that surf
    licence: {name: CC-BY-4.0, commercial: "yes"}
    defaults: {frames: 49, steps: 30, guidance: {scale: 4.0}, shift: 3.0, negativePrompt: ""}
    trainedSizes: [832x480, 480x832]
    trainedFrames: [81, 49]
"""


def entry(**fields: str) -> str:
    lines = {"id": "mine", "base": "ti2v-5B", "title": "mine"} | fields
    return f"models: [{{{', '.join(f'{name}: {value}' for name, value in lines.items())}}}]"


def problems_of(text: str) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        load_catalog(text, "own.yaml")
    return list(caught.value.problems)


def test_what_an_entry_says_stands_over_its_base() -> None:
    card, base = load_catalog(CORGI, "own.yaml")["corgi-5B"], MODELS["ti2v-5B"]
    chosen = card.defaults
    assert (chosen.width, chosen.height, chosen.frames, chosen.fps) == (832, 480, 49, 24)
    assert (chosen.steps, chosen.guidance, chosen.shift, chosen.negative_prompt) == (30, (4.0, 4.0), 3.0, "")
    assert (card.sizes.trained, card.sizes.aspects) == (((832, 480), (480, 832)), ("16:9", "9:16"))
    assert (card.licence.name, card.licence.commercial) == ("CC-BY-4.0", "yes")
    assert (card.weights_of, card.alternatives) == ("ti2v-5B", ("ti2v-5B",))
    assert (card.transformer, card.vae, card.text_encoder) == (base.transformer, base.vae, base.text_encoder)


def test_what_an_entry_does_not_say_is_its_base_s() -> None:
    card, base = load_catalog(entry(), "own.yaml")["mine"], MODELS["ti2v-5B"]
    assert (card.sizes, card.frame_rule, card.experts) == (base.sizes, base.frame_rule, base.experts)
    assert card.defaults.negative_prompt == base.defaults.negative_prompt
    assert card.licence.commercial == "not stated; ti2v-5B is under Apache-2.0"


@pytest.mark.parametrize("base", [card.id for card in MODELS.values() if not card.cannot_run])
def test_a_model_of_any_base_that_runs_agrees_with_itself(base: str) -> None:
    cards = load_catalog(entry(base=base), "own.yaml")
    assert check_card(cards["mine"], {**ENTRIES, **cards}) == ()


def test_no_entries_are_no_models() -> None:
    assert load_catalog("models: []", "own.yaml") == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(entry(titel="x"), "titel: unknown field; did you mean models[0].title?", id="a key"),
        pytest.param(
            entry(defaults="{frame: 5}"),
            "defaults.frame: unknown field; did you mean models[0].defaults.frames?",
            id="a key further in",
        ),
        pytest.param(
            entry(defaults="{frames: 82}"), "defaults.frames: 82 is not 4k+1; nearest: 81, 85", id="frames"
        ),
        pytest.param(
            entry(defaults='{frames: "81"}'),
            'defaults.frames: expected an integer, got "81" (string)',
            id="text",
        ),
        pytest.param(
            entry(trainedFrames="[80]"),
            "trainedFrames[0]: 80 is not 4k+1; nearest: 77, 81",
            id="trained frames",
        ),
        pytest.param(
            entry(defaults="{resolution: 1280x720}"),
            "defaults.resolution: 1280x720 is not a multiple of 32 for mine; nearest: 1280x704",
            id="resolution",
        ),
        pytest.param(
            entry(trainedSizes="[100x100]"),
            "trainedSizes[0]: 100x100 is not a multiple of 32 for mine; nearest: 96x96, 128x128",
            id="a trained size",
        ),
        pytest.param(
            entry(defaults="{guidance: {high: 3, low: 2}}"),
            "defaults.guidance: ti2v-5B has one expert: give scale",
            id="guidance of two",
        ),
        pytest.param(
            entry(base="t2v-A14B", defaults="{guidance: {high: 3}}"),
            "defaults.guidance: t2v-A14B has two experts: give high and low",
            id="half a guidance",
        ),
        pytest.param(
            entry(base="ti2v-5b"),
            'base: "ti2v-5b" is not in the catalogue; nearest: ti2v-5B, t2v-A14B',
            id="base by another spelling",
        ),
        pytest.param(
            entry(id="TI2V-5B"), 'id: "TI2V-5B" is a model of the catalogue; choose another', id="a known id"
        ),
        pytest.param(
            entry(id="svd"), 'id: "svd" is a model of the catalogue; choose another', id="another's id"
        ),
        pytest.param(
            entry(id="animatediff-v2"),
            'id: "animatediff-v2" is read as animatediff; choose another',
            id="legacy id",
        ),
        pytest.param(
            entry(id="i2v", base="i2v-A14B"), 'id: "i2v" is read as i2v-A14B; choose another', id="a task"
        ),
        pytest.param(
            entry(id="me/corgi"),
            'id: "me/corgi" has a / or a :, and it is the name of a folder',
            id="a slash",
        ),
        pytest.param(
            entry(id="c" * 64), f'id: "{"c" * 64}" has 64 characters; the maximum is 63', id="a long id"
        ),
        pytest.param(
            entry(id="v2-t2v-corgi"),
            'id: "v2-t2v-corgi" is spelt like another kind of model than ti2v-5B; choose another',
            id="an id that promises what the model denies",
        ),
        pytest.param(entry(boundary="0.5"), "boundary: unknown field", id="what the weights tell"),
        pytest.param(entry(title='" "'), "title: is blank", id="a blank title"),
        pytest.param(
            entry(title="c" * 201), "title: has 201 characters; the maximum is 200", id="a long one"
        ),
        pytest.param(
            entry(title='"red\\e[0m"'),
            "title: has the control character U+001B at character 4; nearest: nothing, or a space",
            id="a title that steers a terminal",
        ),
        pytest.param(
            entry(title='"two\\nlines"'),
            "title: has the control character U+000A at character 4; nearest: nothing, or a space",
            id="a title of two lines",
        ),
        pytest.param(
            entry(licence='{name: "MIT\\a"}'),
            "licence.name: has the control character U+0007 at character 4; nearest: nothing, or a space",
            id="a licence that rings",
        ),
        pytest.param(
            entry(licence='{name: MIT, commercial: "\\0yes"}'),
            "licence.commercial: has the control character U+0000 at character 1",
            id="a condition with a NUL",
        ),
        pytest.param(
            entry(defaults='{negativePrompt: "it\\x92s\\nblurry"}'),
            "defaults.negativePrompt: has the control character U+0092 at character 3; "
            "nearest: \u2019 (as Windows-1252 has it), or nothing",
            id="a quotation mark of Windows in a negative prompt of two lines",
        ),
        pytest.param(
            entry(defaults=f"{{negativePrompt: {'x' * 8193}}}"),
            "defaults.negativePrompt: has 8193 characters; the maximum is 8192",
            id="a long negative prompt",
        ),
    ],
)
def test_a_wrong_entry_is_told_by_path_value_and_rule(text: str, problem: str) -> None:
    (found,) = problems_of(text)
    assert found.startswith(f"own.yaml: models[0].{problem}")


def test_a_base_that_cannot_run_is_refused_with_those_that_can() -> None:
    (found,) = problems_of(entry(base="svd"))
    assert found.startswith("own.yaml: models[0].base: svd cannot run, nor could this: it is a U-Net")
    assert found.endswith("there are: t2v-A14B, i2v-A14B, ti2v-5B, t2v-1.3B, wan-tiny, wan-tiny-i2v")


def test_every_fault_is_told_at_once() -> None:
    found = problems_of("""
models:
  - {id: a, base: nothing, title: a}
  - {id: A, base: ti2v-5B, title: 5}
  - {id: b, base: ti2v-5B, title: b, defaults: {frames: 2, steps: 0}}
  - {id: c, base: ti2v-5B, title: c, trainedFrames: [2]}
  - {id: C, base: ti2v-5B, title: c}
""")
    paths = [problem.split(": ")[1] for problem in found]
    assert sorted(paths) == [
        "models[0].base",
        "models[1].title",
        "models[2].defaults.steps",
        "models[3].trainedFrames[0]",
        "models[4].id",
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "own.yaml: is empty"),
        ("[]", "own.yaml: expected a mapping, got a list"),
        ("models: 3", "own.yaml: models: expected a list, got 3 (integer)"),
        ("a: 1\n---\nb: 2", "own.yaml: 2 documents; one catalogue a file is read"),
        ("models: &a [*a]", "own.yaml line 1: the alias *a is not read here; write the value out"),
    ],
    ids=["empty", "a list", "a number", "two documents", "an alias"],
)
def test_what_is_no_catalogue_is_told(text: str, what: str) -> None:
    assert problems_of(text) == [what]


@given(st.from_regex(r"[A-Za-z0-9]{1,8}([._-][A-Za-z0-9]{1,8}){0,3}", fullmatch=True))
def test_no_id_of_an_own_model_changes_what_a_known_id_means(model_id: str) -> None:
    with contextlib.suppress(InvalidInput):
        own = load_catalog(entry(id=f'"{model_id}"'), "own.yaml")
        with pytest.raises(InvalidInput):
            resolve_model(model_id)
        assert all(resolve_model(known, models={**MODELS, **own}).card.id == known for known in ENTRIES)
