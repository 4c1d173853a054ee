"""What a model was not taught is told with what it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_core.plan.worlds import request_of
from wan_core.catalog.models import MODELS
from wan_core.plan.untrained import is_trained_size, untrained


@pytest.mark.parametrize("model", MODELS)
def test_the_defaults_of_every_model_were_taught(model):
    assert untrained(MODELS[model], request_of(model)) == ""


@pytest.mark.parametrize(
    ("model", "fields", "words"),
    [
        pytest.param(
            "t2v-1.3B",
            {"resolution": "1280x720"},
            "t2v-1.3B was not taught this: 1280x720, it was with 832x480 and 480x832",
            id="size",
        ),
        pytest.param(
            "t2v-A14B",
            {"frames": 161},
            "t2v-A14B was not taught this: 161 frames, it was with 81",
            id="length",
        ),
        pytest.param(
            "t2v-A14B",
            {"fps": 32},
            "t2v-A14B was not taught this: 32 frames a second, it was with 16: motion looks 2 times as fast",
            id="faster",
        ),
        pytest.param(
            "ti2v-5B",
            {"fps": 8, "frames": 125},
            "ti2v-5B was not taught this: 125 frames, it was with 121; 8 frames a second, it was with 24: "
            "motion looks 3 times as slow",
            id="several at once",
        ),
        pytest.param(
            "i2v-A14B",
            {"resolution": "512x512"},
            "i2v-A14B was not taught this: 512x512, it was with 832x480 and 480x832, in any aspect",
            id="area",
        ),
    ],
)
def test_what_was_not_taught_is_told(model, fields, words):
    assert untrained(MODELS[model], request_of(model, **fields)) == words


@pytest.mark.parametrize("fields", [{"frames": 17}, {"frames": 1, "fps": 1}], ids=["shorter", "a still"])
def test_of_what_is_known_to_work_nothing_is_told(fields):
    assert untrained(MODELS["t2v-A14B"], request_of("t2v-A14B", **fields)) == ""


@given(st.floats(0.4, 2.5))
def test_an_image_of_any_aspect_has_the_area_that_was_taught(ratio):
    sizes = MODELS["i2v-A14B"].sizes
    area = 832 * 480
    width, height = (int(side) // 16 * 16 for side in ((area * ratio) ** 0.5, (area / ratio) ** 0.5))
    assert is_trained_size(sizes, width, height)
