"""Reader of JSON lines that names the row at fault."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json

from src.data.columns import Columns, shown
from src.data.encoding import BLOCK, scan_text
from src.errors import UserError, in_short

LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a character beyond U+FFFF, which JSON can write and no text can hold."""


def read_json_lines(path: Path, columns: Columns) -> pa.Table:
    """Return the columns of a file with one JSON object a line; raise `UserError` naming the row that is none."""
    scan_text(path)
    _check_first_object(path, columns)
    schema = pa.schema([*((name, pa.string()) for name in columns.text), (columns.score, pa.float64())])
    parse = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    try:
        table = pa.json.read_json(path, pa.json.ReadOptions(block_size=BLOCK), parse)
    except pa.ArrowInvalid as error:
        _refuse_first_bad_object(path, columns)
        raise UserError(f"{path}: expected JSON lines, found {in_short(error)}: correct the file.") from error
    return table.select(list(columns.names))


def _check_first_object(path: Path, columns: Columns) -> None:
    _, first = next(objects(path), (1, {}))
    columns.require(list(first), str(path))


def _refuse_first_bad_object(path: Path, columns: Columns) -> None:
    """Say what Arrow does not: which row and which value it stumbled over."""
    for row, fields in objects(path):
        for name in columns.names:
            value = fields.get(name)
            expected = (int, float) if name == columns.score else (str,)
            if isinstance(value, str) and LONE_SURROGATE.search(value):
                raise UserError(
                    f"{path}, data row {row}, column {name!r}: expected characters, found half of one in"
                    f" {shown(value)}: correct the row."
                )
            if value is not None and (not isinstance(value, expected) or isinstance(value, bool)):
                kind = "a number without quotation marks" if name == columns.score else "a text in quotation marks"
                raise UserError(
                    f"{path}, data row {row}, column {name!r}: expected {kind}, found {shown(value)}: correct the row."
                )


def objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each data row with its JSON object; raise `UserError` at the first line that holds none."""
    with path.open(encoding="utf-8-sig") as file:
        lines = (line for line in file if line.strip())
        for row, line in enumerate(lines, start=1):
            try:
                fields = json.loads(line)
            except (ValueError, RecursionError):
                fields = None
            if not isinstance(fields, dict):
                raise UserError(
                    f"{path}, data row {row}: expected one JSON object a line, found {shown(line.strip())}:"
                    " write each pair as one object on a line of its own."
                )
            yield row, fields
