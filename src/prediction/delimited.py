"""CSV and TSV in pieces; every value is a text and stays as it is."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from src.data.columns import Columns
from src.data.delimited import _check_header, _not_closed, _why_not_delimited
from src.data.encoding import BLOCK, scan_text
from src.errors import UserError

# Row numbers are known to a single thread only.
READ = pa.csv.ReadOptions(use_threads=False, block_size=BLOCK)


def schema(path: Path, delimiter: str) -> pa.Schema:
    """Return the columns of the header, each a text; raise `UserError` unless it can be read."""
    scan_text(path)
    with _faults_named(path, delimiter) as parse, pa.csv.open_csv(path, READ, parse) as file:
        names = file.schema.names
    _check_header(path, names, Columns(names[0], names[0], names[0], extra=tuple(names)), delimiter)
    return pa.schema([(name, pa.string()) for name in names])


def read(path: Path, schema: pa.Schema, delimiter: str) -> Iterator[pa.Table]:
    """Yield the rows in file order; raise `UserError` naming the row that is ragged or not closed."""
    quotes, rows, last = scan_text(path), 0, ""
    convert = pa.csv.ConvertOptions(column_types=schema, strings_can_be_null=False)
    with _faults_named(path, delimiter) as parse, pa.csv.open_csv(path, READ, parse, convert) as file:
        for batch in file:
            if batch.num_rows:
                rows, last = rows + batch.num_rows, batch.column(batch.num_columns - 1)[-1].as_py()
            yield pa.Table.from_batches([batch])
    # The parser takes a quotation mark that is never closed for closed at the end of the file.
    if quotes % 2 and "\n" in last:
        raise UserError(_not_closed(f"{path}, data row {rows}", last))


@contextmanager
def write(path: Path, schema: pa.Schema, delimiter: str) -> Iterator[Callable[[pa.Table], None]]:
    """Yield the function that appends a piece; quotation marks stand only where they are needed."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(schema.names)

        def append(piece: pa.Table) -> None:
            columns = (map(_cell, column.to_pylist()) for column in piece.columns)
            writer.writerows(zip(*columns, strict=True))

        yield append


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else value


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
