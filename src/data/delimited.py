"""Reader of CSV and TSV that names the row at fault."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from src.data.columns import Columns, said, shown
from src.data.encoding import BLOCK, scan_text
from src.errors import UserError

DELIMITERS = ",;\t|"


def read_delimited(path: Path, columns: Columns, delimiter: str) -> pa.Table:
    """Return the columns as text, however they look; raise `UserError` naming the row that is ragged or not closed."""
    quotes = scan_text(path)
    bad: list[Any] = []

    def stop(row: Any) -> str:
        bad.append(row)
        return "error"

    parse = pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=stop)
    # Row numbers are known to a single thread only.
    read = pa.csv.ReadOptions(use_threads=False, block_size=BLOCK)
    try:
        with pa.csv.open_csv(path, read_options=read, parse_options=parse) as file:
            header = file.schema.names
        _check_header(path, header, columns, delimiter)
        names = list(dict.fromkeys([*columns.names, header[-1]]))
        convert = pa.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), include_columns=names, strings_can_be_null=False
        )
        table = pa.csv.read_csv(path, read_options=read, parse_options=parse, convert_options=convert)
    except pa.ArrowInvalid as error:
        raise UserError(_why_not_delimited(path, error, bad, delimiter)) from error
    # The parser takes a quotation mark that is never closed for closed at the end of the file.
    if quotes % 2 and table.num_rows and "\n" in table[header[-1]][-1].as_py():
        raise UserError(_not_closed(f"{path}, data row {table.num_rows}", table[header[-1]][-1].as_py()))
    return table.select(list(columns.names))


def _check_header(path: Path, header: list[str], columns: Columns, delimiter: str) -> None:
    other = [mark for mark in DELIMITERS if mark != delimiter and len(header) == 1 and mark in header[0]]
    if other:
        raise UserError(
            f"{path}: expected columns separated by {delimiter!r}, found one column {shown(header[0])}, separated by"
            f" {other[0]!r}: save it with {delimiter!r}, or rename it to .tsv if it is separated by tabs."
        )
    columns.require(header, str(path))


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
    return f"{path}: expected text separated by {delimiter!r}, found {said(error)}: correct the file."


def _not_closed(where: str, text: str) -> str:
    return (
        f"{where}: expected every quotation mark closed, found an open one in {shown(text)}: close it, or put the whole"
        ' text in quotation marks and write those in it as "".'
    )
