"""Tables and paragraphs for a terminal: bare columns under bold heads, as kubectl's.

Colour only where it says something, and only on a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
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


@dataclass(frozen=True)
class Column:
    """A head and how its cells stand. Only one that `wraps` is ever folded, between words where there is
    room. One that `yields` is left out, the last one first, where there is no room for all. None is cut:
    where there is no room for the others, lines are as long as they have to be.
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
    chosen = _choose(columns, cells, console.width)
    widths = _share(columns, cells, chosen, console.width)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    # Else Rich would take from columns that never fold.
    table.width = sum(widths.values()) + GAP * (len(widths) - 1)
    for i, width in widths.items():
        table.add_column(columns[i].head, justify=columns[i].justify, width=width, overflow="fold")
    for row in cells:
        table.add_row(*(Text(_fold(row[i], width), STYLES.get(row[i], "")) for i, width in widths.items()))
    _print(console, table, crop=False)


def _choose(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int) -> list[int]:
    """The columns that say something and have room."""
    shown = [i for i in range(len(columns)) if any(row[i] for row in cells)]
    least = {i: columns[i].least([row[i] for row in cells]) + GAP for i in shown}
    for i in reversed([i for i in shown if columns[i].yields]):
        if sum(least[i] for i in shown) > width:
            shown.remove(i)
    return shown


def _share(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], chosen: Sequence[int], width: int
) -> dict[int, int]:
    """How wide each of these columns is: what it takes at least, and of what is left over what it lacks."""
    of_column = {i: [columns[i].head, *(row[i] for row in cells)] for i in chosen}
    whole = {i: max(map(cell_len, texts)) for i, texts in of_column.items()}
    widths = {i: columns[i].least(texts) for i, texts in of_column.items()}
    gaps = GAP * (len(chosen) - 1)
    if sum(widths.values()) + gaps > width:
        widths = {i: min(least, WORD_MAX) if columns[i].wraps else least for i, least in widths.items()}
    left = max(width - gaps - sum(widths.values()), 0)
    for i in sorted(chosen, key=lambda i: whole[i] - widths[i]):  # what lacks little folds nowhere then
        more = min(left, whole[i] - widths[i])
        widths[i], left = widths[i] + more, left - more
    return widths


def _fold(text: str, width: int) -> str:
    """The text in lines of so many characters: words are broken where one is longer, after a hyphen first."""
    if cell_len(text) != len(text):
        return text  # Rich knows how wide each character is
    breaks = any(len(word) > width for word in text.split(" "))
    return fill(text, width, break_on_hyphens=breaks)


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
