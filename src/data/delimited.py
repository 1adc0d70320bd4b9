"""Reader of CSV and TSV that names the row at fault, in pieces or at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from src.data.columns import Columns, shown
from src.data.encoding import BLOCK, scan_text
from src.errors import UserError, in_short

DELIMITERS = ",;\t|"


def read_delimited(path: Path, columns: Columns, delimiter: str) -> pa.Table:
    """Return the columns as text, however they look; raise `UserError` where one is missing or a row is broken."""
    schema = text_schema(path, delimiter)
    columns.require(schema.names, str(path))
    pieces = chain([schema.empty_table()], read_pieces(path, schema, delimiter))
    return pa.concat_tables(piece.select(list(columns.names)) for piece in pieces)


def text_schema(path: Path, delimiter: str) -> pa.Schema:
    """Return the columns of the header, each a text; raise `UserError` unless the delimiter separates them."""
    scan_text(path)
    with _faults_named(path, delimiter) as parse, pa.csv.open_csv(path, _blocks(), parse) as file:
        names = file.schema.names
    other = [mark for mark in DELIMITERS if mark != delimiter and len(names) == 1 and mark in names[0]]
    if other:
        raise UserError(
            f"{path}: expected columns separated by {delimiter!r}, found one column {shown(names[0])}, separated by"
            f" {other[0]!r}: save it with {delimiter!r}, or rename it to .tsv if it is separated by tabs."
        )
    return pa.schema([(name, pa.string()) for name in names])


def read_pieces(path: Path, schema: pa.Schema, delimiter: str) -> Iterator[pa.Table]:
    """Yield the rows in file order, with all columns; raise `UserError` naming the row that is ragged or not closed."""
    quotes, rows, last = scan_text(path), 0, ""
    convert = pa.csv.ConvertOptions(column_types=dict.fromkeys(schema.names, pa.string()), strings_can_be_null=False)
    with _faults_named(path, delimiter) as parse, pa.csv.open_csv(path, _blocks(), parse, convert) as file:
        for batch in file:
            if batch.num_rows:
                rows, last = rows + batch.num_rows, batch.column(batch.num_columns - 1)[-1].as_py()
            yield pa.Table.from_batches([batch])
    # The parser takes a quotation mark that is never closed for closed at the end of the file.
    if quotes % 2 and "\n" in last:
        raise UserError(_not_closed(f"{path}, data row {rows}", last))


def _blocks() -> pa.csv.ReadOptions:
    return pa.csv.ReadOptions(use_threads=False, block_size=BLOCK)  # row numbers are known to a single thread only


@contextmanager
def _faults_named(path: Path, delimiter: str) -> Iterator[pa.csv.ParseOptions]:
    bad: list[Any] = []

    def stop(row: Any) -> str:
        bad.append(row)
        return "error"

    try:
        yield pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=stop)
    except pa.ArrowInvalid as error:
        raise UserError(_why_not_delimited(path, error, bad, delimiter)) from error


def _why_not_delimited(path: Path, error: Exception, bad: list[Any], delimiter: str) -> str:
    if bad and bad[0].text.count('"') % 2:
        return _not_closed(f"{path}, data row {bad[0].number - 1}", bad[0].text)
    if bad:
        row = bad[0]
        return (
            f"{path}, data row {row.number - 1}: expected {row.expected_columns} values, found {row.actual_columns} in"
            f" {shown(row.text)}: correct the row, or put a text that holds {delimiter!r} in quotation marks."
        )
    if "straddling" in str(error):
        return f"{path}: expected rows of at most {BLOCK:,} bytes, found a longer one: look for an open quotation mark."
    if "Empty CSV" in str(error):
        return f"{path}: expected a header and rows of pairs, found less: add pairs to it."
    return f"{path}: expected text separated by {delimiter!r}, found {in_short(error)}: correct the file."


def _not_closed(where: str, text: str) -> str:
    return (
        f"{where}: expected every quotation mark closed, found an open one in {shown(text)}: close it, or put the whole"
        ' text in quotation marks and write those in it as "".'
    )
