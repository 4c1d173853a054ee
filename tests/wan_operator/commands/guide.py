"""docs/guides/planning.md: its commands, and what they print.

`python -m tests.wan_operator.commands.guide` runs them all and writes what they print now into the guide, and
the table of techniques.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from typer.testing import CliRunner

from wan_core.cli import app
from wan_core.plan.techniques import TECHNIQUES

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "guides" / "planning.md"
BLOCK = re.compile(r"^```\n(?P<body>\$ wan .*?)^```", re.MULTILINE | re.DOTALL)
TECHNIQUES_TABLE = re.compile(r"(?P<head>^\| technique \|.*\n\| --- .*\n)(?:\| `.*\n)+", re.MULTILINE)
COLUMNS = "100"
FIRST_LINES = re.compile(r"(?P<command>.*?) \| head -(?P<count>\d+)")


def run(asked: str) -> str:
    """What a command of the guide prints in the repository's folder: both streams, faults first."""
    cut = FIRST_LINES.fullmatch(asked)
    command = cut["command"] if cut else asked
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        result = CliRunner().invoke(app, shlex.split(command), env={"COLUMNS": COLUMNS, "TERM": "dumb"})
    finally:
        os.chdir(before)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception  # a guide is not rewritten by a command that is broken
    lines = (result.stderr + result.stdout).splitlines(keepends=True)
    return "".join(lines[: int(cut["count"])] if cut else lines)


def read_examples() -> list[tuple[str, str]]:
    """The commands, without `wan`, and the output that the guide shows for each."""
    found = []
    for block in BLOCK.finditer(GUIDE.read_text(encoding="utf-8")):
        for step in block["body"].split("$ wan ")[1:]:
            asked, _, shown = step.partition("\n")
            found.append((asked, shown))
    return found


def rewrite(text: str) -> str:
    """The guide with what its commands print now."""

    def again(block: re.Match[str]) -> str:
        steps = [step.partition("\n")[0] for step in block["body"].split("$ wan ")[1:]]
        return "```\n" + "".join(f"$ wan {asked}\n{run(asked)}" for asked in steps) + "```"

    return TECHNIQUES_TABLE.sub(lambda table: table["head"] + techniques_rows(), BLOCK.sub(again, text))


def techniques_rows() -> str:
    """The table of techniques, below its head."""
    return "".join(f"| `{t.id}` | {t.memory} | {t.loses} |\n" for t in TECHNIQUES.values())


if __name__ == "__main__":
    GUIDE.write_text(rewrite(GUIDE.read_text(encoding="utf-8")), encoding="utf-8")
