"""Tables on paper of any width."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from wan_operator.commands.tables import Column, show_facts, show_numbered, show_table

COLUMNS = (
    Column("#", "right"),
    Column("WHAT", wraps=True),
    Column("EXTRA", yields=True),
    Column("EMPTY"),
    Column("SIZE", "right"),
)
ROWS = [["1", "some words that may be folded", "extra", "", "12.5 GiB"], ["12", "short", "more", "", "3 GiB"]]


def shown(width: int) -> list[str]:
    file = StringIO()
    show_table(Console(file=file, width=width), COLUMNS, ROWS)
    return file.getvalue().splitlines()


def test_an_empty_column_is_left_out() -> None:
    assert shown(80)[0].split() == ["#", "WHAT", "EXTRA", "SIZE"]


def test_where_there_is_room_nothing_is_folded() -> None:
    assert shown(80)[1] == " 1  some words that may be folded  extra  12.5 GiB"


def test_words_are_folded_before_a_column_is_given_up() -> None:
    assert "EXTRA" in shown(40)[0]
    assert max(map(len, shown(40))) <= 40
    assert len(shown(40)) > 3


def test_what_never_folds_keeps_its_room_beside_much_that_does() -> None:
    file = StringIO()
    columns = (Column("NAME", wraps=True), Column("WORDS", wraps=True), Column("RESULT"))
    rows = [["a-name-without-any-space", "many words " * 9, "fits nowhere"]]
    show_table(Console(file=file, width=60), columns, rows)
    lines = file.getvalue().splitlines()
    assert all(len(line) <= 60 for line in lines)
    assert lines[1].endswith("fits nowhere")


def test_a_word_that_is_too_long_is_broken_after_a_hyphen() -> None:
    file = StringIO()
    show_table(
        Console(file=file, width=19), (Column("A", wraps=True), Column("B")), [["text-encoder-cpu", "b" * 4]]
    )
    assert file.getvalue().splitlines()[1:] == ["text-encoder-  bbbb", "cpu"]


def test_what_yields_goes_where_the_paper_is_narrow() -> None:
    assert shown(23)[0].split() == ["#", "WHAT", "SIZE"]
    assert any("12.5 GiB" in line for line in shown(23))


@pytest.mark.parametrize("width", [1, 10, 15])
def test_where_there_is_no_room_lines_are_longer_and_nothing_is_lost(width: int) -> None:
    assert shown(width)[0].split() == ["#", "WHAT", "SIZE"]
    assert any("12.5 GiB" in line for line in shown(width))


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_no_line_ends_in_spaces(width: int) -> None:
    assert all(line == line.rstrip() for line in shown(width))


def test_what_could_steer_a_terminal_is_shown_as_its_escape() -> None:
    file = StringIO()
    show_facts(Console(file=file, width=80), [("name", "a\x1b[31mb\u202e"), ("nothing", "")])
    assert file.getvalue() == "name  a\\x1b[31mb\\u202e\n"


def test_lines_stand_beside_their_number() -> None:
    file = StringIO()
    show_numbered(Console(file=file, width=80), [["one", "and more"], ["two"]])
    assert file.getvalue() == "1  one\n   and more\n2  two\n"
