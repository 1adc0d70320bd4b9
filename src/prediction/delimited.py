"""CSV and TSV written in pieces."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa


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
