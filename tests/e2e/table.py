"""A table as kubectl prints it, cell by cell; a cell may be empty or have spaces in it."""

from __future__ import annotations

import re


def read_table(text: str) -> list[dict[str, str]]:
    """Its rows by the words of its header, under which kubectl aligns the cells."""
    header, *rows = text.splitlines()
    starts = [match.start() for match in re.finditer(r"\S+", header)]
    ends = [*starts[1:], None]
    names = header.split()
    return [
        {name: row[start:end].strip() for name, start, end in zip(names, starts, ends, strict=True)}
        for row in rows
    ]
