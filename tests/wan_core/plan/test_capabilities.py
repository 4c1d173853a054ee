"""The report of a model: whole for every entry, and true of its parts."""

from __future__ import annotations

import json

import pytest

from wan_core.catalog.models import ENTRIES, MODELS, OTHERS
from wan_core.catalog.own import load_catalog
from wan_core.plan.capabilities import capabilities
from wan_core.plan.shapes import weights_bytes

OWN = load_catalog("models: [{id: mine, base: t2v-A14B, title: mine}]", "own.yaml")
ALL = pytest.mark.parametrize("card", [*ENTRIES.values(), *OWN.values()], ids=[*ENTRIES, *OWN])


@ALL
def test_every_report_is_whole_and_can_be_written(card):
    found = capabilities(card)
    data = json.loads(json.dumps(found.to_dict()))
    for field in (
        "tasks",
        "sizes",
        "aspects",
        "framesRule",
        "sizeRule",
        "components",
        "alternatives",
        "sources",
    ):
        if (field, card.family) != ("alternatives", "wan-tiny"):
            assert data[field], field
    assert data["licence"]["name"]
    assert data["licence"]["commercial"]
    assert set(data["defaults"]) == {"resolution", "frames", "fps", "steps", "shift", "negativePrompt"}


@pytest.mark.parametrize("card", MODELS.values(), ids=MODELS)
def test_the_components_weigh_what_the_model_does(card):
    parts = capabilities(card).components
    assert sum(part.bytes.get("bf16", part.bytes["fp32"]) for part in parts) == weights_bytes(card)
    assert len([part for part in parts if part.name.startswith("transformer")]) == card.experts


@pytest.mark.parametrize("card", OTHERS.values(), ids=OTHERS)
def test_another_architecture_has_no_technique_and_says_why_it_cannot_run(card):
    found = capabilities(card)
    assert (found.techniques, found.tiers, found.devices) == ((), (), ())
    assert "Wan's transformer alone" in found.cannot_run


@pytest.mark.parametrize(
    ("model", "tasks", "image"),
    [
        ("t2v-A14B", ("t2v",), "not taken"),
        ("i2v-A14B", ("i2v",), "needed"),
        ("ti2v-5B", ("t2v", "i2v"), "taken"),
        ("svd", ("i2v",), "needed"),
    ],
)
def test_what_it_makes_its_video_from(model, tasks, image):
    found = capabilities(ENTRIES[model])
    assert (found.tasks, found.image) == (tasks, image)


@pytest.mark.parametrize(
    ("model", "form", "high", "low", "boundary"),
    [
        ("t2v-A14B", "high and low", 4.0, 3.0, 0.875),
        ("ti2v-5B", "scale", 5.0, 5.0, None),
        ("svd", "rising with the frames", 1.0, 3.0, None),
    ],
)
def test_guidance_has_the_shape_of_the_model(model, form, high, low, boundary):
    shape = capabilities(ENTRIES[model]).guidance
    assert (shape.form, shape.high, shape.low, shape.boundary) == (form, high, low, boundary)


def test_a_model_for_a_cpu_has_the_techniques_of_a_cpu():
    by_id = {technique.id: technique for technique in capabilities(MODELS["wan-tiny"]).techniques}
    assert by_id["resident"].devices == ("cuda", "cpu")
    assert by_id["block-streaming"].devices == ("cuda",)


def test_an_own_model_says_whose_architecture_it_has():
    assert capabilities(OWN["mine"]).weights_of == "t2v-A14B"
