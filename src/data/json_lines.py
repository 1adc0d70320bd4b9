"""Readers and writers of JSON Lines files, whole or in chunks; errors name the data row."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json

from src.data.columns import Columns, invalid_value, short_repr
from src.data.delimited import BLOCK, scan_text
from src.utils.errors import UserError, shorten

ROWS = 4096
"""Objects parsed at a time."""
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a character beyond U+FFFF: valid in JSON, not in UTF-8."""
TEXT, NUMBER = "a text in quotation marks", "a number without quotation marks"
KINDS = {bool: "true or false", int: NUMBER, float: NUMBER, str: TEXT, list: "a list", dict: "an object"}

Row = tuple[int, dict[str, Any]]
"""Number of a data row, from 1, and its object."""


def read_json_lines(path: Path, columns: Columns) -> pa.Table:
    """Return the columns of the file; raise `UserError` naming the first row with no object or a wrong type."""
    scan_text(path)
    _, first = next(_objects(path), (1, {}))
    columns.require(list(first), str(path))
    types = dict.fromkeys(columns.text, pa.string()) | {columns.score: pa.float64()}
    parse = pa.json.ParseOptions(explicit_schema=pa.schema(types), unexpected_field_behavior="ignore")
    try:
        table = pa.json.read_json(path, pa.json.ReadOptions(block_size=BLOCK), parse)
    except pa.ArrowInvalid as error:
        kinds = dict.fromkeys(columns.text, TEXT) | {columns.score: NUMBER}
        for row, fields in _objects(path):  # Arrow's message does not name the row
            _check_kinds(path, (row, {name: fields.get(name) for name in kinds}), kinds)
        raise UserError(f"{path}: expected JSON lines, found {shorten(error)}: correct the file.") from error
    return table.select(list(columns.names))


def json_lines_schema(path: Path) -> pa.Schema:
    """Return the schema of all rows; raise `UserError` naming the first row with no object or with other types."""
    scan_text(path)
    schema, kinds = pa.schema([]), dict[str, str]()
    for rows in _batches(path):
        for row in rows:
            _check_kinds(path, row, kinds)
        names = dict.fromkeys(name for _, fields in rows for name in fields)
        with _conversion(path):
            chunk = pa.table({name: [fields.get(name) for _, fields in rows] for name in names})
            schema = pa.unify_schemas([schema, chunk.schema], promote_options="permissive")
    return schema


def read_json_lines_chunks(path: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the rows in file order, with all fields of the schema; a missing field is null."""
    for rows in _batches(path):
        with _conversion(path):
            chunk = pa.Table.from_pylist([fields for _, fields in rows], schema=schema)
        yield chunk


@contextmanager
def write_json_lines(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """Yield a function that appends a chunk, with one object for each row."""
    with path.open("w", encoding="utf-8", newline="") as file:

        def append(chunk: pa.Table) -> None:
            for row in chunk.to_pylist():
                # write NaN, the only value that differs from itself, as null: JSON has no NaN
                fields = {name: value if value == value else None for name, value in row.items()}
                file.write(json.dumps(fields, ensure_ascii=False, default=str) + "\n")

        yield append


def _objects(path: Path) -> Iterator[Row]:
    """Yield the data rows; raise `UserError` at the first line that is not a JSON object."""
    with path.open(encoding="utf-8-sig") as file:
        lines = (line for line in file if line.strip())
        for row, line in enumerate(lines, start=1):
            try:
                fields = json.loads(line)
            except (ValueError, RecursionError):
                fields = None
            if not isinstance(fields, dict):
                raise UserError(
                    f"{path}, data row {row}: expected one JSON object a line, found {short_repr(line.strip())}:"
                    " write each pair as one object on a line of its own."
                )
            yield row, fields


def _batches(path: Path) -> Iterator[list[Row]]:
    rest = _objects(path)
    while rows := list(islice(rest, ROWS)):
        yield rows


def _check_kinds(path: Path, row: Row, kinds: dict[str, str]) -> None:
    """Raise `UserError` for a value that differs in kind from its column or has a lone surrogate; extend `kinds`."""
    number, fields = row
    for name, value in fields.items():
        if isinstance(value, str) and LONE_SURROGATE.search(value):
            raise invalid_value(path, number, name, "text without lone surrogates", value, "correct the row")
        kind = KINDS.get(type(value))
        if kind and kinds.setdefault(name, kind) != kind:
            advice = "correct the row, since a column has values of one kind"
            raise invalid_value(path, number, name, kinds[name], value, advice)


@contextmanager
def _conversion(path: Path) -> Iterator[None]:
    """Turn errors of the conversion to Arrow into `UserError`."""
    try:
        yield
    except (pa.ArrowException, OverflowError, UnicodeEncodeError) as error:
        raise UserError(
            f"{path}: expected each column of one type, found {shorten(error)}: correct the file."
        ) from error
