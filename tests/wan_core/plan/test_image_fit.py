"""What is done to an image of any size, as exact values."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wan_core.api.spec import ImageFit
from wan_core.catalog.models import MODELS
from wan_core.errors import InvalidInput
from wan_core.plan.image_fit import (
    Size,
    crop,
    fit_image,
    have_same_aspect,
    nearest_resolution,
    pad,
)

A14B, TI2V = MODELS["i2v-A14B"], MODELS["ti2v-5B"]
SIZES = st.tuples(st.integers(16, 8000), st.integers(16, 8000))
TARGETS = st.tuples(st.integers(1, 120), st.integers(1, 120)).map(
    lambda sides: (sides[0] * 16, sides[1] * 16)
)


@given(SIZES, TARGETS)
def test_a_box_lies_in_the_middle_of_the_image_and_has_the_videos_aspect(source: Size, target: Size) -> None:
    correction = crop(source, target)
    left, top, right, bottom = correction.crop
    width, height = right - left, bottom - top
    assert 0 <= left < right <= source[0]
    assert 0 <= top < bottom <= source[1]
    assert width == source[0] or height == source[1]
    assert abs(left - (source[0] - right)) <= 1
    assert abs(top - (source[1] - bottom)) <= 1
    assert abs(width - height * target[0] / target[1]) <= 0.5 or (
        abs(height - width * target[1] / target[0]) <= 0.5 or 1 in (width, height)
    )
    assert (correction.scaled, correction.pad) == (target, (0, 0, 0, 0))


@given(SIZES, TARGETS)
def test_margins_and_image_together_are_the_frame(source: Size, target: Size) -> None:
    correction = pad(source, target)
    left, top, right, bottom = correction.pad
    assert min(correction.pad) >= 0
    assert (left + correction.scaled[0] + right, top + correction.scaled[1] + bottom) == target
    assert correction.scaled[0] == target[0] or correction.scaled[1] == target[1]
    assert 0 <= right - left <= 1
    assert 0 <= bottom - top <= 1
    assert correction.crop == (0, 0, *source)


@given(SIZES, TARGETS)
def test_a_refusal_names_values_that_do_it(source: Size, target: Size) -> None:
    if have_same_aspect(source, target):
        return
    with pytest.raises(InvalidInput) as caught:
        fit_image(source, target, ImageFit.REFUSE, A14B)
    (problem,) = caught.value.problems
    assert problem.startswith(f"spec.image: {source[0]}x{source[1]} is ")
    assert str(crop(source, target).crop) in problem
    assert "{}x{}".format(*pad(source, target).scaled) in problem
    near = nearest_resolution(A14B, source, target)
    assert near is None or "resolution: {}x{} keeps its aspect".format(*near) in problem


@given(SIZES, TARGETS)
@settings(max_examples=30)
def test_the_resolution_that_keeps_the_aspect_is_one_of_the_models(source: Size, target: Size) -> None:
    for card in (A14B, TI2V):
        near = nearest_resolution(card, source, target)
        if near is None:
            continue
        assert near[0] % card.stride == near[1] % card.stride == 0
        assert near[0] * near[1] <= card.max_pixels
        assert have_same_aspect(source, near)
        assert fit_image(source, near, ImageFit.REFUSE).pad == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("source", "target", "near"),
    [
        pytest.param((1080, 1920), (1280, 720), (720, 1280), id="upright: the size it was taught with"),
        pytest.param((832, 480), (1280, 720), (832, 480), id="an aspect of another size that was taught"),
        pytest.param((1000, 1000), (1280, 720), (960, 960), id="a square of as many pixels"),
        pytest.param((1000, 1000), (832, 480), (624, 624), id="a square as small as the video"),
    ],
)
def test_the_nearest_resolution(source: Size, target: Size, near: Size) -> None:
    assert nearest_resolution(A14B, source, target) == near


def test_no_resolution_is_like_a_strip() -> None:
    assert nearest_resolution(TI2V, (16, 8000), (1280, 704)) is None


def test_what_is_done_is_told_with_its_values() -> None:
    assert crop((1000, 1000), (1280, 720)).words == (
        "takes the box (0, 219, 1000, 781), 56 % of it, and scales it to 1280x720"
    )
    assert pad((1000, 1000), (1280, 720)).words == (
        "scales it to 720x720, with black pixels around: 280 left and 280 right"
    )
    assert fit_image((2560, 1440), (1280, 720), ImageFit.REFUSE).words == "scales it to 1280x720"
    assert fit_image((1280, 720), (1280, 720), ImageFit.REFUSE).words == ""
