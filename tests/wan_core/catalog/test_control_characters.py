"""Where a control character stands, and what was meant."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_core.catalog.control_characters import control_fault


@pytest.mark.parametrize(
    ("text", "line", "fault"),
    [
        pytest.param("two\n\tlines\r\n", False, "", id="breaks and tabs in a text"),
        pytest.param(
            "two\nlines",
            True,
            "has the control character U+000A at character 4; nearest: nothing, or a space",
            id="a break in a line",
        ),
        pytest.param(
            "\x1b[31mred\x1b[0m",
            True,
            "has 2 control characters, the first U+001B at character 1; nearest: nothing, or a space",
            id="terminal escapes",
        ),
        pytest.param(
            "a child\x92s kite",
            False,
            "has the control character U+0092 at character 8; "
            "nearest: \u2019 (as Windows-1252 has it), or nothing",
            id="a quotation mark of Windows",
        ),
        pytest.param(
            "\x81",
            False,
            "has the control character U+0081 at character 1; nearest: nothing, or a space",
            id="what Windows-1252 lacks too",
        ),
    ],
)
def test_the_first_is_told_with_its_place(text: str, line: bool, fault: str) -> None:
    assert control_fault(text, line=line) == fault


@given(st.text(max_size=100))
def test_only_control_characters_are_refused(text: str) -> None:
    controls = {c for c in text if unicodedata.category(c) == "Cc"}
    assert bool(control_fault(text, line=True)) == bool(controls)
    assert bool(control_fault(text)) == bool(controls - set("\t\n\r"))
    assert control_fault(text).isprintable()
