"""docs/guides/planning.md says what happens: every command of it is run, and prints what is shown there."""

from __future__ import annotations

import re

import pytest

from tests.wan_operator.commands.calls import wan
from tests.wan_operator.commands.guide import GUIDE, read_examples, run, techniques_rows
from wan_core import planning
from wan_core.catalog.own import load_catalog
from wan_core.cli import find_commands
from wan_core.errors import TABLE

TEXT = GUIDE.read_text(encoding="utf-8")
COMMANDS = ("models", "gpus", "validate", "explain", "recommend")


@pytest.mark.slow
@pytest.mark.parametrize(("asked", "shown"), read_examples(), ids=[a for a, _ in read_examples()])
def test_a_command_prints_what_the_guide_shows(asked: str, shown: str) -> None:
    """If it prints something else by right: python -m tests.wan_operator.commands.guide."""
    assert run(asked) == shown


def test_every_command_and_every_function_stands_in_it() -> None:
    for name in COMMANDS:
        assert name in find_commands()
        assert f"`wan {name}" in TEXT
    for name in ("capabilities", "profile", "compatibility", "validate", "recommend", "explain", "fallbacks"):
        assert hasattr(planning, name)
        assert f"`{name}" in TEXT


def test_its_entry_of_a_model_is_one() -> None:
    (entry,) = re.findall(r"^```yaml\n(models:\n.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    card = load_catalog(entry, "planning.md")["corgi-5B"]
    assert (card.weights_of, card.defaults.steps) == ("ti2v-5B", 30)


def test_its_exit_codes_are_those_of_the_table() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| ([A-Z_]+)", TEXT, re.MULTILINE))
    assert rows
    assert rows == {str(row.exit_code): c.value for c, row in TABLE.items() if str(row.exit_code) in rows}


@pytest.mark.parametrize("asked", [["explain"], ["models", "--no-such"], ["gpus", "-o", "xml"]])
def test_a_line_that_cannot_be_read_exits_as_it_says(asked: list[str]) -> None:
    assert "| 2 | | an option is unknown, missing, or has a value that no such option has |" in TEXT
    assert wan(*asked).exit_code == 2


def test_it_lists_every_technique_as_the_table_has_it() -> None:
    assert techniques_rows() in TEXT
