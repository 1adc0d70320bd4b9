"""Readers and writers of CSV and TSV files; errors name the data row at fault and its line."""

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, TextIO

import pyarrow as pa

from src.data.columns import NUMBER, short_repr
from src.data.quoting import UNQUOTED_ADVICE, uses_quoting
from src.data.text_files import BLOCK, read_lines, row_too_long
from src.utils.errors import UserError

csv.field_size_limit(BLOCK)  # 131,072 by default
ROWS = 8192
"""Maximum number of rows of a chunk; it has fewer if it is longer than `BLOCK`."""
DELIMITERS = ",;\t|"
FIRST_ROWS = 50
"""Number of data rows that decide which columns have only numbers."""
IS_NUMBER = re.compile(NUMBER)


class DelimitedFile:
    """A CSV or TSV file, all columns of which are text."""

    def __init__(self, path: Path, quoting: str, delimiter: str) -> None:
        """`quoting`: none, csv, or auto, which detects unquoted TSV files and rows joined by open quotation marks.

        Raises `UserError` unless the delimiter separates the columns of the header.
        """
        self.path = path
        self.delimiter = delimiter
        self.notes: list[str] = []
        self.is_quoted, self.is_checked = quoting != "none", quoting == "auto"
        if quoting == "auto" and delimiter == "\t":
            self.is_quoted, self.notes = uses_quoting(path, lambda: read_lines(path), delimiter)
        self.names = next(self._rows(), [])
        self._check_header()

    @cached_property
    def schema(self) -> pa.Schema:
        """All columns."""
        return pa.schema([(name, pa.string()) for name in self.names])

    def chunks(self, names: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield the columns `names`, all by default, of the rows in file order.

        Raises `UserError` for a malformed row.
        """
        at = range(len(self.names)) if names is None else [self.names.index(name) for name in names]
        schema = pa.schema([self.schema.field(i) for i in at])
        rows = islice(self._rows(), 1, None)
        while batch := _take(rows):
            columns = list(zip(*batch, strict=True))
            yield pa.table([pa.array(columns[i], pa.string()) for i in at], schema=schema)

    def _rows(self) -> Iterator[list[str]]:
        """Yield the header and the data rows, which have as many values; blank lines are skipped."""
        lines = _Lines(self.path)
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if self.is_quoted else csv.QUOTE_NONE
        reader = csv.reader(lines, delimiter=self.delimiter, quoting=quoting, strict=True)
        number, width, numeric = 0, 0, set[int]()
        try:
            for row in reader:
                if row:
                    width = width or len(row)
                    if len(row) != width:
                        raise self._ragged(number, row, width, lines)
                    if 0 < number <= FIRST_ROWS:
                        found = {i for i, value in enumerate(row) if IS_NUMBER.match(value.strip())}
                        numeric = found if number == 1 else numeric & found
                    if len(lines.row) > 1 and number and self.is_checked:
                        self._check_joined(number, numeric, width, lines)
                    yield row
                    number += 1
                lines.start_row()
        except csv.Error as error:
            raise self._malformed(number, lines, error) from error

    def _check_header(self) -> None:
        if not self.names:
            raise UserError(f"{self.path}: expected a header and rows of pairs, found less: add pairs to it.")
        name = self.names[0]
        other = [mark for mark in DELIMITERS if mark != self.delimiter and len(self.names) == 1 and mark in name]
        if other:
            raise UserError(
                f"{self.path}: expected columns separated by {self.delimiter!r}, found one column {short_repr(name)},"
                f" separated by {other[0]!r}: save it with {self.delimiter!r}, or rename it to .tsv if it is separated"
                " by tabs."
            )

    def _check_joined(self, number: int, numeric: set[int], width: int, lines: "_Lines") -> None:
        """Raise `UserError` if the lines of a row are rows of their own, by their columns of numbers."""

        def is_row(line: str) -> bool:
            for values in (next(csv.reader([line], delimiter=self.delimiter)), line.split(self.delimiter)):
                if len(values) == width and all(IS_NUMBER.match(values[i].strip(' "\r\n')) for i in numeric):
                    return True
            return False

        first, *inner, last = (is_row(line) for line in lines.row)
        if numeric and (any(inner) or (first and last)):
            raise self._open_mark(number, lines)

    def _where(self, number: int, lines: "_Lines") -> str:
        row = f"data row {number}" if number else "the header"
        return f"{self.path}, {row} (line {lines.number - len(lines.row) + 1})"

    def _ragged(self, number: int, row: list[str], width: int, lines: "_Lines") -> UserError:
        if len(lines.row) > 1:
            return self._open_mark(number, lines)
        advice = f", or put a text that contains {self.delimiter!r} in quotation marks" if self.is_quoted else ""
        return UserError(
            f"{self._where(number, lines)}: expected {width} values, found {len(row)} in"
            f" {short_repr(lines.row[0].rstrip())}: correct the row{advice}."
        )

    def _open_mark(self, number: int, lines: "_Lines") -> UserError:
        return UserError(
            f"{self._where(number, lines)}: expected every quotation mark closed, found an open one that joins"
            f" {len(lines.row):,} line(s), from {short_repr(lines.row[0].rstrip())} on: close it, or {UNQUOTED_ADVICE}."
        )

    def _malformed(self, number: int, lines: "_Lines", error: csv.Error) -> UserError:
        if "limit" in str(error):
            return row_too_long(self.path)
        if "new-line" in str(error):
            expected, advice = (
                "no carriage return in a value",
                "take it out, or save the file with one kind of line end",
            )
        elif len(lines.row) > 1 or "end of data" in str(error):
            return self._open_mark(number, lines)
        else:
            expected = "a value in quotation marks as a whole"
            advice = f'put the complete text in quotation marks and write those in it as "", or {UNQUOTED_ADVICE}'
        return UserError(
            f"{self._where(number, lines)}: expected {expected}, found {short_repr(lines.row[0].rstrip())}: {advice}."
        )


class _Lines:
    """Lines of a file, with those of the current row."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 0
        """Number of lines read."""
        self.start_row()

    def start_row(self) -> None:
        """Forget the lines of the last row."""
        self.row: list[str] = []
        self.size = 0

    def __iter__(self) -> Iterator[str]:
        for line in read_lines(self.path):
            self.number += 1
            self.row.append(line)
            self.size += len(line)
            if self.size > BLOCK:
                raise row_too_long(self.path)
            yield line


def _take(rows: Iterator[list[str]]) -> list[list[str]]:
    """Return the next rows of a chunk, none at the end."""
    batch, size = [], 0
    for row in rows:
        batch.append(row)
        size += sum(map(len, row))
        if len(batch) == ROWS or size > BLOCK:
            break
    return batch


@contextmanager
def write_delimited(
    file: TextIO, schema: pa.Schema, delimiter: str, is_quoted: bool = True
) -> Iterator[Callable[[pa.Table], None]]:
    """Yield a function that appends a chunk; values are quoted only if necessary, lists and objects written as JSON."""
    # The writer quotes a carriage return only if it is part of the line end, which is then replaced.
    unix = SimpleNamespace(write=lambda row: file.write(row.removesuffix("\r\n") + "\n"))
    form: dict[str, Any] = {} if is_quoted else {"quoting": csv.QUOTE_NONE, "quotechar": None}
    writer = csv.writer(unix, delimiter=delimiter, **form)
    writer.writerow(schema.names)

    def append(chunk: pa.Table) -> None:
        columns = (map(_cell, column.to_pylist()) for column in chunk.columns)
        writer.writerows(zip(*columns, strict=True))

    yield append


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else value
