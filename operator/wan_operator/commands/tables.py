"""Tables and paragraphs for a terminal: bare columns under bold heads, as kubectl's.

Colour only where it says something, and only on a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from wan_core.api.words import printable

STYLES: Mapping[str, str] = MappingProxyType(
    {
        "fits now": "green",
        "fits later": "yellow",
        "never": "red",
        "valid": "green",
        "warnings": "yellow",
        "invalid": "red",
        "yes": "green",
        "no": "red",
        "measured": "green",
        "published": "yellow",
    }
)


GAP = 2  # spaces between columns
WORD_MAX = 12  # a longer word is folded where there is no room
PAPER_MIN = 60  # characters: on narrower paper a table is as wide as it has to be


@dataclass(frozen=True)
class Column:
    """A head and how its cells stand. Only one that `wraps` is ever folded, between words where there is
    room; none is cut. One that `yields` is left out, the last one first, where there is no room for all.
    """

    head: str
    justify: Literal["left", "right"] = "left"
    wraps: bool = False
    yields: bool = False

    def least(self, cells: Sequence[str]) -> int:
        """Characters that it takes at least."""
        texts = (self.head, *cells)
        parts = (word for text in texts for word in text.split(" ")) if self.wraps else texts
        return max(cell_len(part) for part in parts)


def show_table(console: Console, columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Rows under heads. Columns that are empty in every row are left out."""
    cells = [[printable(cell) for cell in row] for row in rows]
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    shown = _choose(columns, cells, console.width)
    least = {i: columns[i].least([row[i] for row in cells]) for i in shown}
    narrow = sum(least.values()) + GAP * len(shown) > console.width
    room = {i: min(least[i], WORD_MAX) if narrow and columns[i].wraps else least[i] for i in shown}
    needed = sum(room.values()) + GAP * len(shown)
    folded = console.width < PAPER_MIN and needed > console.width  # by the terminal; nothing is lost
    table.width = needed if folded else None
    for i in shown:
        table.add_column(columns[i].head, justify=columns[i].justify, min_width=room[i], overflow="fold")
    for row in cells:
        table.add_row(*(Text(row[i], style=STYLES.get(row[i], "")) for i in shown))
    _print(console, table, crop=not folded)


def _choose(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int) -> list[int]:
    """The columns that say something and have room."""
    shown = [i for i in range(len(columns)) if any(row[i] for row in cells)]
    least = {i: columns[i].least([row[i] for row in cells]) + GAP for i in shown}
    for i in reversed([i for i in shown if columns[i].yields]):
        if sum(least[i] for i in shown) > width:
            shown.remove(i)
    return shown


def show_facts(console: Console, facts: Iterable[tuple[str, str]]) -> None:
    """Names and what they are, one below the other; what is empty is left out."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, text in facts:
        if text:
            table.add_row(name, Text(printable(text)))
    _print(console, table)


def show_numbered(console: Console, texts: Iterable[Sequence[str]]) -> None:
    """Each group of lines beside its number, from 1 on."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for number, lines in enumerate(texts, start=1):
        table.add_row(str(number), Text("\n".join(printable(line) for line in lines)))
    _print(console, table)


def show_heading(console: Console, text: str) -> None:
    """A line that begins a part, after an empty one."""
    console.print()
    _print(console, Text(printable(text), style="bold"))


def show_lines(console: Console, lines: Iterable[str], indent: int = 0, style: str = "") -> None:
    """Each line folded at words within the width, all of it indented."""
    for line in lines:
        _print(console, Padding(Text(printable(line), style=style), (0, 0, 0, indent)))


def _print(console: Console, what: RenderableType, *, crop: bool = True) -> None:
    """Without the spaces that would fill each line to the margin: output is copied and compared."""
    with console.capture() as captured:
        console.print(what, crop=crop)
    for line in captured.get().splitlines():
        console.file.write(f"{line.rstrip()}\n")
