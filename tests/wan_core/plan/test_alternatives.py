"""Other models that can do what is asked for: which, and in which shape."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wan_core.plan.draws import requests
from tests.wan_core.plan.worlds import request_of
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.models import MODELS
from wan_core.plan.alternatives import can_do, find_alternatives, translate
from wan_core.plan.request import Request

IMAGE = "s3://inputs/a.png"


def fits(request: Request, card: ModelCard) -> str:
    return f"{card.id}/cuda/bf16+resident"


def nothing_fits(request: Request, card: ModelCard) -> str:
    return ""


@pytest.mark.parametrize(
    ("asked", "fields", "able"),
    [
        pytest.param("t2v-A14B", {}, {"t2v-A14B", "ti2v-5B", "t2v-1.3B"}, id="from text alone"),
        pytest.param("i2v-A14B", {}, {"i2v-A14B", "ti2v-5B"}, id="from an image"),
        pytest.param(
            "ti2v-5B", {"image": IMAGE}, {"i2v-A14B", "ti2v-5B"}, id="from an image if there is one"
        ),
        pytest.param("ti2v-5B", {}, {"t2v-A14B", "ti2v-5B", "t2v-1.3B"}, id="from none"),
        pytest.param("wan-tiny", {}, {"wan-tiny"}, id="of the tiny ones, which read other prompts"),
        pytest.param("wan-tiny-i2v", {}, {"wan-tiny-i2v"}, id="and from an image"),
    ],
)
def test_a_model_can_do_it_if_it_makes_videos_from_the_same(
    asked: str, fields: dict[str, Any], able: set[str]
) -> None:
    request = request_of(asked, **fields)
    runnable = [card for card in MODELS.values() if not card.cannot_run]
    assert {card.id for card in runnable if can_do(card, MODELS[asked], request)} == able


@pytest.mark.parametrize(
    ("model", "fields", "other", "shape"),
    [
        pytest.param(
            "t2v-A14B", {"resolution": "832x480"}, "t2v-1.3B", (832, 480, 81), id="as it is, where it can"
        ),
        pytest.param("t2v-A14B", {}, "ti2v-5B", (1248, 704, 81), id="the nearest size below, on its stride"),
        pytest.param("ti2v-5B", {"frames": 241}, "t2v-A14B", (1280, 704, 161), id="its longest"),
        pytest.param("t2v-A14B", {"resolution": "480x832"}, "ti2v-5B", (480, 832, 81), id="upright"),
    ],
)
def test_the_shape_is_the_one_asked_for_or_the_nearest_that_it_makes(
    model: str, fields: dict[str, Any], other: str, shape: tuple[int, int, int]
) -> None:
    found = translate(request_of(model, **fields), MODELS[other])
    assert (found.width, found.height, found.frames) == shape


def test_steps_guidance_and_shift_are_the_other_models_own() -> None:
    asked = request_of("t2v-A14B", steps=7, guidance={"high": 9, "low": 9}, shift=1.5, seed=3)
    found, own = translate(asked, MODELS["ti2v-5B"]), MODELS["ti2v-5B"].defaults
    assert (found.steps, found.shift) == (own.steps, own.shift)
    assert (found.guidance_high, found.guidance_low) == own.guidance
    assert (found.prompt, found.seed) == (asked.prompt, asked.seed)


def test_what_would_change_beside_the_model_is_said_and_the_plan_with_it() -> None:
    found = {
        cure.value: cure for cure in find_alternatives(request_of("t2v-A14B"), MODELS, {"t2v-A14B"}, fits)
    }
    assert found["ti2v-5B"].text == "model: ti2v-5B, resolution: 1248x704 (cuda/bf16+resident)"
    assert found["ti2v-5B"].also == (("resolution", "1248x704"),)
    assert found["t2v-1.3B"].also == ()


def test_a_model_that_fits_nowhere_is_no_advice() -> None:
    assert find_alternatives(request_of("t2v-A14B"), MODELS, {"t2v-A14B"}, nothing_fits) == ()


@settings(max_examples=50)
@given(requests(), st.sets(st.sampled_from(sorted(MODELS))))
def test_no_alternative_is_named_already_and_each_makes_the_shape_that_it_says(
    request: Request, more: set[str]
) -> None:
    named = {request.model, *more}
    for cure in find_alternatives(request, MODELS, named, fits):
        card = MODELS[str(cure.value)]
        assert card.id not in named
        assert not card.cannot_run
        other, changes = translate(request, card), dict(cure.also)
        assert changes.get("frames", request.frames) == other.frames
        assert other.frames in card.frame_rule.choices
        assert (
            changes.get("resolution", f"{request.width}x{request.height}") == f"{other.width}x{other.height}"
        )
        assert other.width % card.stride == other.height % card.stride == 0
        assert other.width * other.height <= card.max_pixels
