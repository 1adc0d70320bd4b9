"""Readers and writers of CSV and TSV files; errors name the data row at fault and its line."""

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, TextIO

import pyarrow as pa

from src.data.columns import NUMBER, short_repr
from src.data.quoting import UNQUOTED_ADVICE, uses_quoting
from src.data.text_files import BLOCK, read_lines, row_too_long
from src.utils.errors import UserError

csv.field_size_limit(2 * BLOCK)  # 131,072 by default; `_Rows` stops before
ROWS = 512
"""Maximum number of rows of a chunk, 1.7 times as fast as 8192; fewer if they have more than `BLOCK` characters."""
LINE = 60
"""Bytes of a line in memory besides its characters; without them, two-character lines of a row take 2.7 GB."""
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
        self.names = self._open().header
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
        for rows in self._open().batches():
            columns = list(zip(*rows, strict=True))
            yield pa.table([pa.array(columns[i], pa.string()) for i in at], schema=schema)

    def _open(self) -> "_Rows":
        return _Rows(self.path, self.delimiter, self.is_quoted, self.is_checked)

    def _check_header(self) -> None:
        if not self.names:
            raise UserError(f"{self.path}: expected a header and rows of examples, found less: add rows to it.")
        name = self.names[0]
        other = [mark for mark in DELIMITERS if mark != self.delimiter and len(self.names) == 1 and mark in name]
        if other:
            raise UserError(
                f"{self.path}: expected columns separated by {self.delimiter!r}, found one column {short_repr(name)},"
                f" separated by {other[0]!r}: save it with {self.delimiter!r}, or rename it to .tsv if it is separated"
                " by tabs."
            )


class _Rows:
    """Header and data rows of a file, with the lines of the current row for error messages."""

    def __init__(self, path: Path, delimiter: str, is_quoted: bool, is_checked: bool) -> None:
        self.path = path
        self.delimiter = delimiter
        self.is_quoted = is_quoted
        self.is_checked = is_checked
        self.recent: list[str] = []
        """Lines read since the last batch."""
        self.size = 0
        """Number of their characters, and `LINE` for each."""
        self.number = 0
        """Number of the current data row, 0 for the header."""
        self.end = 0
        """Number of lines before the current row."""
        self.numeric: set[int] | None = None
        """Columns in which the first rows have only numbers."""
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE
        self.reader = csv.reader(self._lines(), delimiter=delimiter, quoting=quoting, strict=True)
        self.rows = self._rows()
        self.header = next(self.rows, [])

    def batches(self) -> Iterator[list[list[str]]]:
        """Yield the data rows, which have as many values as the header; raise `UserError` for a malformed row."""
        width, batch = len(self.header), list[list[str]]()
        for row in self.rows:
            if len(row) != width:
                raise self._ragged(row)
            if self.number <= FIRST_ROWS:
                found = {i for i, value in enumerate(row) if IS_NUMBER.match(value.strip())}
                self.numeric = found if self.numeric is None else self.numeric & found
            if self.reader.line_num - self.end > 1 and self.is_checked:
                self._check_joined()
            batch.append(row)
            if len(batch) == ROWS or self.size > BLOCK:
                yield batch
                batch, self.recent, self.size = [], [], 0
        if batch:
            yield batch

    def _rows(self) -> Iterator[list[str]]:
        """Yield the header and the data rows; blank lines are skipped."""
        try:
            for row in self.reader:
                if row:
                    yield row
                    self.number += 1
                else:
                    self.size -= len(self.recent.pop()) + LINE
                self.end = self.reader.line_num
        except csv.Error as error:
            raise self._malformed(error) from error

    def _lines(self) -> Iterator[str]:
        for line in read_lines(self.path):
            self.recent.append(line)
            self.size += len(line) + LINE
            if self.size > 2 * BLOCK:
                raise row_too_long(self.path)
            yield line

    @property
    def _current(self) -> list[str]:
        """Lines of the current row."""
        return self.recent[self.end - self.reader.line_num :]

    def _check_joined(self) -> None:
        """Raise `UserError` if lines of the current row are rows of their own, by their columns of numbers."""
        first, *inner, last = map(self._is_row, self._current)
        if self.numeric and (any(inner) or (first and last)):
            raise self._open_mark()

    def _is_row(self, line: str) -> bool:
        line = line.replace("\r", " ")
        splits = (next(csv.reader([line], delimiter=self.delimiter), []), line.split(self.delimiter))
        return any(
            len(values) == len(self.header)
            and all(IS_NUMBER.match(values[i].strip(' "\r\n')) for i in self.numeric or ())
            for values in splits
        )

    def _invalid(self, expected: str, advice: str) -> UserError:
        row = f"data row {self.number}" if self.number else "the header"
        return UserError(
            f"{self.path}, {row} (line {self.end + 1}): expected {expected} in"
            f" {short_repr(self._current[0].rstrip())}: {advice}."
        )

    def _ragged(self, row: list[str]) -> UserError:
        if len(self._current) > 1:
            return self._open_mark()
        advice = f", or put a text that contains {self.delimiter!r} in quotation marks" if self.is_quoted else ""
        return self._invalid(f"{len(self.header)} values, found {len(row)}", f"correct the row{advice}")

    def _open_mark(self) -> UserError:
        found = f"an open one that joins {len(self._current):,} line(s)"
        return self._invalid(f"every quotation mark closed, found {found}", f"close it, or {UNQUOTED_ADVICE}")

    def _malformed(self, error: csv.Error) -> UserError:
        if "limit" in str(error):
            return row_too_long(self.path)
        if "new-line" in str(error):
            return self._invalid("line ends of one kind, found a carriage return", "take it out of the value")
        if len(self._current) > 1 or "end of data" in str(error):
            return self._open_mark()
        return self._invalid(
            "a value in quotation marks as a whole, found text after a closing one",
            f'put the complete text in quotation marks and write those in it as "", or {UNQUOTED_ADVICE}',
        )


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
