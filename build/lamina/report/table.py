"""Tables of text: laid out here where they are plain and fit, else by rich, which takes long to import."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from lamina.patterns import regex
from lamina.values import dataclass

if TYPE_CHECKING:
    from rich.table import Table

_GAP = 2
_NARROWEST = 12
_PLAIN = regex(r"[ -~\n]*")


@dataclass(frozen=True, slots=True)
class Span:
    """A text in a style of rich; a cell is one or several."""

    text: str
    style: str = ""


Cell = tuple[Span, ...]


def cell(text: str, style: str = "") -> Cell:
    """Return a cell with one text; it may have several lines."""
    return (Span(text, style),)


@dataclass(slots=True)
class TextTable:
    """A table without lines. wide: the column that may fold; `folding` has others that may."""

    headings: tuple[str, ...]
    wide: str = "why"
    rows: list[tuple[Cell, ...]] = field(default_factory=list)
    folding: set[str] = field(default_factory=set)

    def add_row(self, *cells: str | Cell) -> None:
        """Add a row, with a cell for each heading."""
        self.rows.append(tuple(cell(each) if isinstance(each, str) else each for each in cells))

    def lines(self, width: int) -> list[str] | None:
        """Return the lines of the table, as rich prints them; None if rich has to lay it out."""
        rows = [self.headings, *(tuple(_text(each) for each in row) for row in self.rows)]
        if not all(_PLAIN.fullmatch(text) for row in rows for text in row):
            return None
        split = [[text.split("\n") for text in row] for row in rows]
        widths = [max(map(len, (line for row in split for line in row[at]))) for at in range(len(rows[0]))]
        if self.wide in self.headings:
            at = self.headings.index(self.wide)
            widths[at] = max(widths[at], _NARROWEST)
        if sum(widths) + _GAP * (len(widths) - 1) > width:
            return None
        return [line for row in split for line in _row(row, widths)]

    def rich(self) -> Table:
        """Return the table for rich."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
        for heading in self.headings:
            folds = heading == self.wide
            least = _NARROWEST if folds else None
            no_wrap = not folds and heading not in self.folding
            table.add_column(heading, overflow="fold", no_wrap=no_wrap, min_width=least)
        for row in self.rows:
            table.add_row(*(Text.assemble(*((span.text, span.style) for span in each)) for each in row))
        return table


def _text(spans: Cell) -> str:
    return "".join(span.text for span in spans)


def _row(cells: list[list[str]], widths: list[int]) -> list[str]:
    """Return the lines of a row whose cells have one or several."""
    height = max(map(len, cells))
    padded = [[*lines, *[""] * (height - len(lines))] for lines in cells]
    return [
        (" " * _GAP).join(f"{lines[at]:{width}}" for lines, width in zip(padded, widths, strict=True))
        for at in range(height)
    ]
