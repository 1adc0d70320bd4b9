"""JSON lines in pieces; a field that some rows lack is null there."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from src.data.columns import shown
from src.data.encoding import scan_text
from src.data.json_lines import objects
from src.errors import UserError, in_short

ROWS = 4096
"""Objects held at a time."""
KINDS = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}


def schema(path: Path) -> pa.Schema:
    """Return the fields of all rows; raise `UserError` naming the first row that is no object or of other types."""
    scan_text(path)
    found, kinds = pa.schema([]), dict[str, str]()
    for rows in _batches(path):
        for row, fields in rows:
            _check_kinds(f"{path}, data row {row}", fields, kinds)
        names = dict.fromkeys(name for _, fields in rows for name in fields)
        with _faults_named(path):
            piece = pa.table({name: [fields.get(name) for _, fields in rows] for name in names})
            found = pa.unify_schemas([found, piece.schema], promote_options="permissive")
    return found


def read(path: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the rows in file order, all with the fields of the schema."""
    for rows in _batches(path):
        with _faults_named(path):
            piece = pa.Table.from_pylist([fields for _, fields in rows], schema=schema)
        yield piece


@contextmanager
def write(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """Yield the function that appends a piece, an object a row."""
    with path.open("w", encoding="utf-8", newline="") as file:

        def append(piece: pa.Table) -> None:
            for row in piece.to_pylist():
                # JSON has no NaN, the one value that differs from itself
                fields = {name: value if value == value else None for name, value in row.items()}
                file.write(json.dumps(fields, ensure_ascii=False, default=str) + "\n")

        yield append


def _batches(path: Path) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    rest = objects(path)
    while rows := list(islice(rest, ROWS)):
        yield rows


def _check_kinds(where: str, fields: dict[str, Any], kinds: dict[str, str]) -> None:
    for name, value in fields.items():
        kind = KINDS.get(type(value))
        if kind and kinds.setdefault(name, kind) != kind:
            raise UserError(
                f"{where}, column {name!r}: expected {kinds[name]} as in the rows before, found {shown(value)}:"
                " correct the row."
            )


@contextmanager
def _faults_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OverflowError) as error:
        raise UserError(
            f"{path}: expected each column of one type, found {in_short(error)}: correct the file."
        ) from error
