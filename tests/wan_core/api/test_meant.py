"""What is offered in place of a value that is nearly right."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_core.api.meant import GUESSES, meant, nearest_number, nearest_truth
from wan_core.api.spec import (
    DURATION_PATTERN,
    MODEL_PATTERN,
    NAME_PATTERN,
    PRODUCT_PATTERN,
    RESOLUTION_PATTERN,
    S3_PATTERN,
)


@pytest.mark.parametrize(
    ("pattern", "value", "guess"),
    [
        (RESOLUTION_PATTERN, "1280 x 720", "1280x720"),
        (RESOLUTION_PATTERN, "1280×720", "1280x720"),
        (RESOLUTION_PATTERN, "720p", "1280x720"),
        (RESOLUTION_PATTERN, "8x8", "16x16"),
        (RESOLUTION_PATTERN, "16:9", ""),
        (RESOLUTION_PATTERN, "large", ""),
        (DURATION_PATTERN, "2 hours", "2h"),
        (DURATION_PATTERN, "1h 30m", "1h30m"),
        (DURATION_PATTERN, "7d", "168h"),
        (DURATION_PATTERN, "90", "1m30s"),
        (DURATION_PATTERN, "1 WEEK", "168h"),
        (DURATION_PATTERN, "30m1h", "1h30m"),
        (DURATION_PATTERN, "forever", ""),
        (S3_PATTERN, "https://inputs.s3.eu-west-1.amazonaws.com/a/corgi.png", "s3://inputs/a/corgi.png"),
        (S3_PATTERN, "https://s3.amazonaws.com/inputs/corgi.png", "s3://inputs/corgi.png"),
        (S3_PATTERN, "S3://Inputs/corgi.png", "s3://inputs/corgi.png"),
        (S3_PATTERN, "s3:/inputs/corgi.png", "s3://inputs/corgi.png"),
        (S3_PATTERN, "corgi.png", ""),
        (MODEL_PATTERN, "T2V A14B", "T2V-A14B"),
        (MODEL_PATTERN, "Wan-AI//Wan2.2", ""),
        (PRODUCT_PATTERN, " NVIDIA-H200 ", "NVIDIA-H200"),
        (NAME_PATTERN, "High Priority", "high-priority"),
    ],
)
def test_a_near_miss_is_understood(pattern: str, value: str, guess: str) -> None:
    assert meant(value, pattern) == guess


@given(st.sampled_from(list(GUESSES)), st.text(max_size=40) | st.from_regex(r"[0-9]{1,6} ?[a-z]{0,7}"))
def test_what_is_offered_is_valid_and_another(pattern: str, value: str) -> None:
    found = meant(value, pattern)
    assert found == "" or (found != value and re.search(pattern, found))


@pytest.mark.parametrize(
    ("value", "whole", "near"),
    [
        ("81", True, "81, without quotes"),
        ("5.0", False, "5.0, without quotes"),
        ("5.5", True, ""),
        (81.5, True, "81, 82"),
        (-0.5, True, "-1, 0"),
        (1e300, True, ""),
        (True, True, ""),
        ("many", True, ""),
    ],
)
def test_the_nearest_numbers(value: object, whole: bool, near: str) -> None:
    assert nearest_number(value, whole) == near


@pytest.mark.parametrize(
    ("value", "near"), [("yes", "true"), (1, "true"), ("False", "false"), (0.0, "false"), ("maybe", "")]
)
def test_the_nearest_truth(value: object, near: str) -> None:
    assert nearest_truth(value) == near
