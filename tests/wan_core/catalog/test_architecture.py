"""The rule of frames: any choice of its numbers is consistent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_core.catalog.architecture import FrameRule


@st.composite
def rules(draw: st.DrawFn) -> FrameRule:
    first, step = draw(st.integers(1, 30)), draw(st.integers(1, 9))
    return FrameRule(first, step, first + draw(st.integers(0, 200)), trained=(first,))


@given(rules(), st.integers(1, 500))
def test_the_nearest_are_choices_and_none_lies_between(rule: FrameRule, frames: int) -> None:
    near = rule.nearest(frames)
    assert near
    assert set(near) <= set(rule.choices)
    closest = min(rule.choices, key=lambda choice: abs(choice - frames))
    assert min(abs(n - frames) for n in near) == abs(closest - frames)


@given(rules())
def test_an_allowed_number_is_nearest_to_itself(rule: FrameRule) -> None:
    assert all(rule.nearest(frames)[0] == frames for frames in rule.choices)


@given(rules(), st.integers(1, 500))
def test_what_is_shorter_is_allowed_and_no_still(rule: FrameRule, frames: int) -> None:
    shorter = rule.shorter(frames)
    assert shorter == sorted(shorter)
    assert {1, *shorter} >= {choice for choice in rule.choices if choice < frames} >= set(shorter)
    assert 1 not in shorter


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (FrameRule(1, 4, 9, (9,)), "4k+1, at most 9; 1 is a still"),
        (FrameRule(2, 3, 9, (5,)), "3k+2, at most 8, at least 2"),
        (FrameRule(4, 4, 9, (4,)), "4k, at most 8, at least 4"),
        (FrameRule(7, 1, 7, (7,)), "7, no other number"),
        (
            FrameRule(1, 1, 9, (4,), window=4),
            "any number, at most 9; 1 is a still; beyond 4 in windows that overlap",
        ),
    ],
    ids=["4k+1", "3k+2", "4k", "one number", "windows"],
)
def test_the_rule_in_words(rule: FrameRule, words: str) -> None:
    assert rule.words == words
