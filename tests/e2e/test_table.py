"""The table is read as it was printed."""

from __future__ import annotations

import pytest

from tests.e2e.table import read_table

PRINTED = """\
NAME   PHASE      ETA   GPU             AGE
tiny   Starting                         1s
long   Loading          CPU (2 cores)   3s
"""


@pytest.mark.parametrize(
    ("row", "cells"),
    [(0, ["tiny", "Starting", "", "", "1s"]), (1, ["long", "Loading", "", "CPU (2 cores)", "3s"])],
    ids=["empty cells", "a cell of several words"],
)
def test_each_cell_is_under_its_header(row: int, cells: list[str]) -> None:
    rows = read_table(PRINTED)
    assert list(rows[row]) == ["NAME", "PHASE", "ETA", "GPU", "AGE"]
    assert list(rows[row].values()) == cells
