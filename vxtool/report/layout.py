"""A page of text: lines that fit a width, tables that line up, and only what the stream can take.

All text enters through `Page.clean`, before it is measured: so widths are true, and colour is laid over text
that is already in its place. A row of a table is one line where it fits; where it does not, its figures stand
on a line below its subject, since a whole name is worth more than a line saved. Where most rows are such, all
are.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from vxtool.report import Target
from vxtool.report.escape import escape

INDENT = 2
GAP = 3
NARROWEST = 72  # columns; below it a terminal has to wrap
PROSE_WIDTH = 100  # wider lines of prose are hard to read, however wide the terminal
LONGEST_NAME = 256
LONGEST_PROSE = 2_000

_NOT_ASCII = re.compile("[^\x00-\x7f]")

# ECMA-48, select graphic rendition.
_STYLES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}

# What stands for a sign that the stream's encoding does not have.
_ASCII = {"→": "->", "µ": "u", "…": "...", "█": "#", "─": "-", "≤": "<="}


class Cell(NamedTuple):
    """One figure of a row: a value, right-aligned, and its unit; or, without a unit, plain text."""

    text: str
    unit: str = ""
    color: str | None = None


class Row(NamedTuple):
    """A row of a table: the subject's parts (an arrow is put between them), its figures, and a note below."""

    subject: Sequence[str]
    cells: Sequence[Cell]
    note: str = ""
    note_color: str | None = None


class Columns(NamedTuple):
    """How the rows of a table are laid out."""

    widths: Sequence[tuple[int, int]]  # of each figure and its unit
    beside: int  # how wide the names are beside which figures stand; 0: all stand below


def cells(text: str) -> int:
    """The columns that `text` takes on a terminal: wide characters count 2, combining ones 0."""
    if text.isascii():
        return len(text)
    # Most signs of any name are ASCII, which all take one.
    return len(text) + sum(_cell(char) - 1 for char in _NOT_ASCII.findall(text))


def _cell(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _breadth(widths: Sequence[tuple[int, int]]) -> int:
    return sum(GAP + value + (unit and unit + 1) for value, unit in widths if value)


def _narrowed(widths: Sequence[tuple[int, int]], room: int) -> list[tuple[int, int]]:
    """The widths of columns that fit `room`, taken from the widest plain text; figures are never cut."""
    narrow = list(widths)
    while _breadth(narrow) > room:
        index = max(range(len(narrow)), key=lambda i: 0 if narrow[i][1] else narrow[i][0])
        value, unit = narrow[index]
        if unit or value <= 1:
            break
        narrow[index] = (value - 1, 0)
    return narrow


def _head(text: str, room: int) -> str:
    used = 0
    for index, char in enumerate(text):
        used += _cell(char)
        if used > room:
            return text[:index]
    return text


class Page:
    """Lines of text for one target. `str(page)` is the whole, with a line feed at the end of each line."""

    def __init__(self, target: Target) -> None:
        self.width = max(target.width, NARROWEST)
        self._color = target.color
        self._encoding = target.encoding
        self._lines: list[str] = []
        missing = (sign for sign in _ASCII if escape(sign, self._encoding) != sign)
        self._signs = {ord(sign): _ASCII[sign] for sign in missing}
        self.arrow = self.clean(" → ")
        self.ellipsis = self.clean("…")

    def __str__(self) -> str:
        return "".join(line + "\n" for line in self._lines)

    def clean(self, text: str, limit: int = LONGEST_NAME) -> str:
        """`text` as it may stand on this page: escaped, in signs of the encoding, at most `limit` long."""
        if len(text) > limit:
            # The end of a name tells apart what its beginning has in common.
            text = f"{text[: limit - limit // 3]}…{text[-(limit // 3) :]}"
        return escape(text.translate(self._signs), self._encoding)

    def style(self, text: str, color: str | None = None, *, bold: bool = False, dim: bool = False) -> str:
        """Lay colour over `text` where the target takes it."""
        if not self._color or not text or not (color or bold or dim):
            return text
        codes = [_STYLES["bold"]] * bold + [_STYLES["dim"]] * dim + ([_STYLES[color]] if color else [])
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m"

    def shorten(self, text: str, room: int) -> str:
        """Cut clean `text` in the middle so that it takes at most `room` columns."""
        if cells(text) <= room:
            return text
        keep = max(room - len(self.ellipsis), 0)
        tail = _head(text[::-1], keep * 2 // 5)[::-1]
        return _head(text, keep - cells(tail)) + self.ellipsis[:room] + tail

    def line(self, text: str = "") -> None:
        """Add one line that is already clean and fits."""
        self._lines.append(text)

    def heading(self, title: str, detail: str = "") -> None:
        """Start a section: an empty line, the title, and what holds for the whole section beside it."""
        self.line()
        detail = self.shorten(self.clean(detail), self.width - len(title) - 2) if detail else ""
        self.line(self.style(title, bold=True) + (f"  {self.style(detail, dim=True)}" if detail else ""))

    def prose(
        self,
        text: str,
        *,
        label: str = "",
        hang: int = INDENT,
        indent: int = INDENT,
        color: str | None = None,
        label_color: str | None = None,
        lines: bool = False,
    ) -> None:
        """Add `text`, wrapped at column `hang`; `label` stands before its first line, at column `indent`.

        Without `lines`, it is one line of text: a line feed in it can only be that of a name, is spelled out, and
        begins no line that looks like one of the page's own.
        """
        room = min(self.width, PROSE_WIDTH) - hang
        parts = [self.clean(part, LONGEST_PROSE) for part in (text.split("\n") if lines else [text])]
        lead = " " * hang
        if label:
            styled = self.style(label, label_color, bold=label_color is not None, dim=label_color is None)
            lead = " " * indent + styled + " " * (hang - indent - cells(label))
        for piece in (piece for part in parts for piece in self.wrap(part, room)):
            self.line(lead + self.style(piece, color))
            lead = " " * hang

    def wrap(self, text: str, room: int) -> list[str]:
        """Clean `text` in lines of at most `room` columns, broken at blanks where it has any."""
        lines: list[str] = []
        current = ""
        for word in text.split(" "):
            joined = f"{current} {word}" if current else word
            if cells(joined) <= room:
                current = joined
                continue
            if current:
                lines.append(current)
            while cells(word) > room:
                piece = _head(word, room)
                lines.append(piece)
                word = word[len(piece) :]
            current = word
        lines.append(current)
        return [line.rstrip() for line in lines]

    def table(self, rows: Sequence[Row], *, limit: int, total: int | None = None, noun: str = "") -> None:
        """Add at most `limit` rows in aligned columns, and say how many `noun` of `total` are not shown."""
        shown = rows[:limit]
        if not shown:
            return
        cleaned = [self.cleaned(row) for row in shown]
        columns = self.columns(cleaned)
        for row in cleaned:
            self.row(row, columns)
        hidden = (len(rows) if total is None else total) - len(shown)
        if hidden > 0:
            rest = self.clean(f"… and {hidden:,} more {noun}".rstrip())
            self.line(self.style(" " * INDENT + rest, dim=True))

    def take(self) -> str:
        """The lines so far, which are no longer part of the page then."""
        text = str(self)
        self._lines.clear()
        return text

    def cleaned(self, row: Row) -> Row:
        """A row of clean texts, but for its note: for `columns` and `row`."""
        return Row(
            [self.clean(part) for part in row.subject],
            [Cell(self.clean(cell.text), self.clean(cell.unit), cell.color) for cell in row.cells],
            row.note,
            row.note_color,
        )

    def columns(self, rows: Iterable[Row]) -> Columns:
        """How a table of these clean rows is laid out, of which none is held."""
        widths: list[tuple[int, int]] = []
        names: Counter[int] = Counter()  # how many are so wide
        for row in rows:
            names[cells(self.arrow.join(row.subject))] += 1
            mine = [(cells(cell.text), cells(cell.unit)) for cell in row.cells]
            widths = [(max(a, c), max(b, d)) for (a, b), (c, d) in zip(widths or mine, mine, strict=True)]
        room = self.width - INDENT - _breadth(widths)
        fitting = {width: count for width, count in names.items() if width <= room}
        beside = max(fitting, default=0) if 2 * sum(fitting.values()) >= names.total() else 0
        return Columns(widths if beside else _narrowed(widths, self.width - INDENT), beside)

    def row(self, row: Row, columns: Columns) -> None:
        """Add a clean row of a table that is laid out so."""
        widths, beside = columns
        name = self.arrow.join(row.subject)
        if cells(name) <= beside:
            lead = " " * INDENT + name
            self.line(self._figures(lead, row.cells, widths, blanks=beside - cells(name)))
        else:
            self.line(" " * INDENT + self.join(row.subject, self.width - INDENT))
            if any(value for value, _ in widths):
                self.line(self._figures("", row.cells, widths, blanks=INDENT + beside))
        if row.note:
            self.prose(row.note, hang=INDENT + GAP, color=row.note_color)

    def _figures(self, lead: str, line: Iterable[Cell], widths: Sequence[tuple[int, int]], *, blanks: int) -> str:
        done = lead
        for cell, (value, unit) in zip(line, widths, strict=True):
            if not value:
                continue
            text = self.shorten(cell.text, value)
            pad = value - cells(text)
            blanks += GAP
            if unit:
                text = f"{' ' * pad}{text} {cell.unit}"
                pad = unit - cells(cell.unit)
            # Blanks are written once something follows them, so that no line ends in blanks.
            if text.strip():
                done += " " * blanks + self.style(text.rstrip(), cell.color)
                blanks = pad + cells(text) - cells(text.rstrip())
            else:
                blanks += cells(text) + pad
        return done.rstrip()

    def join(self, parts: Sequence[str], room: int) -> str:
        """Join clean `parts` by arrows in at most `room` columns, cutting the longest ones first."""
        room = max(room - len(self.arrow) * (len(parts) - 1), len(parts))
        share = room
        while sum(min(cells(part), share) for part in parts) > room:
            share -= 1
        return self.arrow.join(self.shorten(part, share) for part in parts)
