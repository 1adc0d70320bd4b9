"""Choice between quoted and unquoted reading of a file, by its values that begin with a quotation mark."""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from src.data.columns import short_repr
from src.utils.errors import UserError

QUOTED = re.compile(r'"(?:[^"]|"")*"')
"""A value in quotation marks, with the marks in it doubled."""
UNQUOTED_ADVICE = "set quoting=none (data.quoting=none in training) if quotation marks are part of the texts"

Lines = Callable[[], Iterator[str]]
"""Returns the lines of a file, the header first."""


class Marks:
    """Kinds of values that begin with a quotation mark, and lines with a wrong number of values."""

    def __init__(self, lines: Iterator[str], delimiter: str) -> None:
        self.counts = Counter[str]()
        """Numbers of values: bare (not enclosed in marks), doubled (marks in it doubled), enclosed (needs no marks)."""
        self.first: dict[str, tuple[int, str]] = {}
        """Data row and value of the first of each kind."""
        self.ragged: tuple[int, int] | None = None
        """Index of the first line with a wrong number of values, and of the line before it."""
        header, delimiters, previous = "", 0, 0
        rows, by_column = 0, Counter[int]()
        for index, line in enumerate(lines):
            text = line.rstrip("\r\n")
            if not text:
                continue
            if not header:
                header, delimiters = text, text.count(delimiter)
                continue
            rows += 1
            if not self.ragged and text.count(delimiter) != delimiters:
                self.ragged = index, previous
            previous = index
            if '"' in text:
                by_column.update(self._add(rows, text.split(delimiter)))
        self.width = delimiters + 1
        """Number of values of the header."""
        self.quoted_header = all(QUOTED.fullmatch(name) for name in header.split(delimiter))
        self.uniform = all(count == rows for count in by_column.values())
        """Whether a column has all of its values in marks, or none."""

    def _add(self, row: int, values: list[str]) -> Iterator[int]:
        """Count the values of a row; yield the columns of those in marks."""
        for column, value in enumerate(values):
            if value.startswith('"'):
                is_quoted = bool(QUOTED.fullmatch(value))
                kind = ("doubled" if '"' in value[1:-1] else "enclosed") if is_quoted else "bare"
                self.counts[kind] += 1
                self.first.setdefault(kind, (row, value))
                if is_quoted:
                    yield column


def uses_quoting(path: Path, lines: Lines, delimiter: str) -> tuple[bool, list[str]]:
    """Return whether quotation marks enclose values, in place of being part of them, and notes on that choice.

    A file with a value that begins with a mark, but is not enclosed by marks in its line, is unquoted, unless quoting
    explains a line with a wrong number of values. Raises `UserError` if both are possible: as many values or more have
    marks doubled in them, as only quoting has.
    """
    marks = Marks(lines(), delimiter)
    bare, enclosed = marks.counts["bare"], marks.counts["enclosed"]
    if marks.ragged:
        index, start = marks.ragged
        return not bare or _is_valid(islice(lines(), start, None), marks.width, delimiter, index - start), []
    if not bare or marks.quoted_header:
        return True, [] if marks.uniform or not enclosed else [
            f"{path}: {enclosed:,} value(s) are in quotation marks without need, the first in data row"
            f" {marks.first['enclosed'][0]}; the marks were removed: {UNQUOTED_ADVICE}."
        ]
    row, value = marks.first["bare"]
    if marks.counts["doubled"] >= bare or (marks.width == 1 and _is_valid(lines(), 1, delimiter)):
        raise UserError(
            f"{path}, data row {row}: expected a value in quotation marks as a whole, as in other rows, found"
            f" {short_repr(value)}: correct the row, or {UNQUOTED_ADVICE}."
        )
    return False, [
        f"{path}: {bare:,} value(s) begin with a quotation mark that does not enclose them, the first in data row"
        f" {row}; the file was read without quoting, quotation marks as part of the texts."
    ]


def _is_valid(lines: Iterator[str], width: int, delimiter: str, until: float = float("inf")) -> bool:
    """Return whether all rows up to the one with line `until`, from 0, are valid if marks enclose values."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if row and len(row) != width:
                return False
            if reader.line_num > until:
                return True
    except csv.Error:
        return False
    return True
