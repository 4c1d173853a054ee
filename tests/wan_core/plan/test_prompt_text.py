"""What may stand in a prompt."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_core.plan.worlds import spec_of
from wan_core.plan.prompt_text import find_prompt_problems


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        pytest.param({"prompt": " \t\n"}, "spec.prompt: is blank; say what the video shows", id="blank"),
        pytest.param(
            {"prompt": "red\x07circle"},
            "spec.prompt: has the control character U+0007 at character 4; nearest: nothing, or a space",
            id="a bell",
        ),
        pytest.param(
            {"prompt": "\x1b[31mred\x1b[0m"},
            "spec.prompt: has 2 control characters, the first U+001B at character 1; "
            "nearest: nothing, or a space",
            id="terminal escapes",
        ),
        pytest.param(
            {"prompt": "a child\x92s kite"},
            "spec.prompt: has the control character U+0092 at character 8; "
            "nearest: ’ (as Windows-1252 has it), or nothing",
            id="a quotation mark of Windows",
        ),
        pytest.param(
            {"negative_prompt": "blurry\x00"},
            "spec.negativePrompt: has the control character U+0000 at character 7; "
            "nearest: nothing, or a space",
            id="in the negative prompt",
        ),
    ],
)
def test_it_is_told_with_its_place(fields: dict[str, str], problem: str) -> None:
    assert find_prompt_problems(spec_of("wan-tiny", **fields)) == (problem,)


@given(st.text(min_size=1, max_size=100))
def test_only_control_characters_and_blanks_are_refused(text: str) -> None:
    controls = any(unicodedata.category(c) == "Cc" and c not in "\t\n\r" for c in text)
    refused = controls or not text.strip()
    assert bool(find_prompt_problems(spec_of("wan-tiny", prompt=text))) == refused
