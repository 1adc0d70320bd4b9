"""Readers and writers of CSV and TSV files, whole or in chunks; errors name the line or the data row."""

import codecs
import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from src.data.columns import Columns, short_repr
from src.utils.errors import UserError, shorten

BLOCK = 1 << 25
"""Bytes read at a time, and the maximum length of a row."""
DELIMITERS = ",;\t|"
SIGNATURES = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16", b"PK": "a ZIP or Excel file"}
"""First bytes of files that are often mistaken for UTF-8 text."""


def read_delimited(path: Path, columns: Columns, delimiter: str) -> pa.Table:
    """Return the columns as text; raise `UserError` for a missing column or a malformed row."""
    schema = delimited_schema(path, delimiter)
    columns.require(schema.names, str(path))
    chunks = chain([schema.empty_table()], read_delimited_chunks(path, schema, delimiter))
    return pa.concat_tables(chunk.select(list(columns.names)) for chunk in chunks)


def delimited_schema(path: Path, delimiter: str) -> pa.Schema:
    """Return the columns of the header, all as text.

    Raises `UserError` unless the complete file is UTF-8 and the delimiter separates its columns.
    """
    scan_text(path)
    with _parser(path, delimiter) as parse, pa.csv.open_csv(path, _blocks(), parse) as file:
        names = file.schema.names
    other = [mark for mark in DELIMITERS if mark != delimiter and len(names) == 1 and mark in names[0]]
    if other:
        raise UserError(
            f"{path}: expected columns separated by {delimiter!r}, found one column {short_repr(names[0])}, separated"
            f" by {other[0]!r}: save it with {delimiter!r}, or rename it to .tsv if it is separated by tabs."
        )
    return pa.schema([(name, pa.string()) for name in names])


def read_delimited_chunks(path: Path, schema: pa.Schema, delimiter: str) -> Iterator[pa.Table]:
    """Yield the rows in file order, with all columns of the schema; raise `UserError` for a malformed row."""
    rows, last = 0, ""
    convert = pa.csv.ConvertOptions(column_types=dict.fromkeys(schema.names, pa.string()), strings_can_be_null=False)
    with _parser(path, delimiter) as parse, pa.csv.open_csv(path, _blocks(), parse, convert) as file:
        for batch in file:
            if batch.num_rows:
                rows, last = rows + batch.num_rows, batch.column(batch.num_columns - 1)[-1].as_py()
            yield pa.Table.from_batches([batch])
    # Arrow accepts a quotation mark that is still open at the end of the file.
    if "\n" in last and scan_text(path) % 2:
        raise _open_quotation(path, rows, last)


@contextmanager
def write_delimited(path: Path, schema: pa.Schema, delimiter: str) -> Iterator[Callable[[pa.Table], None]]:
    """Yield a function that appends a chunk; values are quoted only if necessary, lists and objects written as JSON."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(schema.names)

        def append(chunk: pa.Table) -> None:
            columns = (map(_cell, column.to_pylist()) for column in chunk.columns)
            writer.writerows(zip(*columns, strict=True))

        yield append


def scan_text(path: Path) -> int:
    """Return the number of quotation marks in the file; raise `UserError` naming a line that is not UTF-8 text."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, quotes, chunk = 1, 0, b"\n"
    with path.open("rb") as file:
        while chunk:
            chunk = file.read(BLOCK)
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                raise _not_text(path, line, f"the byte {error.object[error.start]:#04x}") from error
            if b"\0" in chunk:
                raise _not_text(path, line + chunk[: chunk.index(b"\0")].count(b"\n"), "a NUL byte")
            line += chunk.count(b"\n")
            quotes += chunk.count(b'"')
    return quotes


def _not_text(path: Path, line: int, found: str) -> UserError:
    with path.open("rb") as file:
        start = file.read(4)
    guess = next((f" ({name})" for signature, name in SIGNATURES.items() if start.startswith(signature)), "")
    return UserError(f"{path}, line {line}: expected UTF-8 text, found {found}{guess}: save the file as UTF-8 text.")


def _blocks() -> pa.csv.ReadOptions:
    return pa.csv.ReadOptions(use_threads=False, block_size=BLOCK)  # Arrow counts rows in a single thread only


@contextmanager
def _parser(path: Path, delimiter: str) -> Iterator[pa.csv.ParseOptions]:
    """Yield parse options for Arrow; turn its errors in the block into `UserError`."""
    invalid: list[Any] = []

    def stop(row: Any) -> str:
        invalid.append(row)
        return "error"

    try:
        yield pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=stop)
    except pa.ArrowInvalid as error:
        if invalid:
            raise _invalid_row(path, invalid[0], delimiter) from error
        raise _invalid_file(path, error, delimiter) from error


def _invalid_row(path: Path, row: Any, delimiter: str) -> UserError:
    if row.text.count('"') % 2:
        return _open_quotation(path, row.number - 1, row.text)
    return UserError(
        f"{path}, data row {row.number - 1}: expected {row.expected_columns} values, found {row.actual_columns} in"
        f" {short_repr(row.text)}: correct the row, or put a text that contains {delimiter!r} in quotation marks."
    )


def _open_quotation(path: Path, row: int, text: str) -> UserError:
    return UserError(
        f"{path}, data row {row}: expected every quotation mark closed, found an open one in {short_repr(text)}: close"
        ' it, or put the complete text in quotation marks and write those in it as "".'
    )


def _invalid_file(path: Path, error: Exception, delimiter: str) -> UserError:
    if "straddling" in str(error):
        expected, found, advice = f"rows of at most {BLOCK:,} bytes", "a longer one", "look for an open quotation mark"
    elif "Empty CSV" in str(error):
        expected, found, advice = "a header and rows of pairs", "less", "add pairs to it"
    else:
        expected, found, advice = f"text separated by {delimiter!r}", shorten(error), "correct the file"
    return UserError(f"{path}: expected {expected}, found {found}: {advice}.")


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else value
