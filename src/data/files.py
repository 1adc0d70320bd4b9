"""Readers and writers of table files, selected by suffix: CSV, TSV, JSONL and Parquet."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from src.data.columns import Columns, number_rows
from src.data.delimited import delimited_schema, read_delimited, read_delimited_chunks, write_delimited
from src.data.json_lines import json_lines_schema, read_json_lines, read_json_lines_chunks, write_json_lines
from src.utils.errors import UserError, shorten

BATCH = 8192
"""Rows of a Parquet file read at a time."""
ROW_GROUP = 65_536
"""Rows of a row group of a Parquet file; small groups make a file large and slow."""


@dataclass(frozen=True)
class Format:
    """Functions that read and write one file format; they raise `UserError` for malformed content."""

    read: Callable[[Path, Columns], pa.Table]
    """Return the given columns of all rows."""
    schema: Callable[[Path], pa.Schema]
    """Return all columns."""
    read_chunks: Callable[[Path, pa.Schema], Iterator[pa.Table]]
    """Yield all columns in chunks of rows, in file order."""
    open_writer: Callable[[Path, pa.Schema], AbstractContextManager[Callable[[pa.Table], None]]]
    """Create a file and yield a function that appends a chunk to it."""


def read_table(path: Path, columns: Columns) -> pa.Table:
    """Return the given columns of a file in file order, with data rows numbered from 1 (the header not counted).

    Raises `UserError` if the file is missing, empty, malformed, or of another format or encoding.
    """
    check_readable(path)
    table = format_of(path).read(path, columns)
    if not table.num_rows:
        raise UserError(f"{path}: expected rows of pairs, found a header only: add pairs to it.")
    return number_rows(table)


def format_of(path: Path) -> Format:
    """Return the format for the suffix of the file; raise `UserError` for an unknown suffix."""
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise UserError(
            f"{path}: expected a file that ends in one of {list(FORMATS)}, found {path.suffix!r}: convert or rename it."
        )
    return found


def check_readable(path: Path) -> None:
    """Raise `UserError` unless the path is a readable, non-empty file."""
    if not path.exists():
        raise UserError(f"{path}: expected a file, found nothing (from {Path.cwd()}): correct the path.")
    if not path.is_file():
        raise UserError(f"{path}: expected a file, found a directory or device: name a file.")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise UserError(
            f"{path}: expected a readable file, found {error.strerror}: correct its permissions."
        ) from error
    if empty:
        raise UserError(f"{path}: expected rows of pairs, found an empty file: add a header and pairs to it.")


def _read_parquet(path: Path, columns: Columns) -> pa.Table:
    """Return the columns; nested fields have dotted names such as `labels.real-label`."""
    with _open_parquet(path, memory_map=True) as file:
        columns.require(file.schema_arrow.empty_table().flatten().schema.names, str(path))
        return file.read(columns=list(columns.names)).flatten().select(list(columns.names))


def _parquet_schema(path: Path) -> pa.Schema:
    with _open_parquet(path) as file:
        return file.schema_arrow.remove_metadata()


def _read_parquet_chunks(path: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    with _open_parquet(path) as file:
        for batch in file.iter_batches(BATCH):
            yield pa.Table.from_batches([batch]).replace_schema_metadata(schema.metadata)


@contextmanager
def _write_parquet(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    with pq.ParquetWriter(path, schema) as writer:
        waiting = [schema.empty_table()]

        def flush() -> None:
            writer.write_table(pa.concat_tables(waiting))
            waiting.clear()

        def append(chunk: pa.Table) -> None:
            waiting.append(chunk)
            if sum(table.num_rows for table in waiting) >= ROW_GROUP:
                flush()

        yield append
        if waiting:
            flush()


@contextmanager
def _open_parquet(path: Path, memory_map: bool = False) -> Iterator[pq.ParquetFile]:
    """Yield the file for reading; turn Arrow's errors in the block into `UserError`."""
    try:
        with pq.ParquetFile(path, memory_map=memory_map) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: expected a Parquet file, found {shorten(error)}: write it again.") from error


def _delimited(delimiter: str) -> Format:
    return Format(
        partial(read_delimited, delimiter=delimiter),
        partial(delimited_schema, delimiter=delimiter),
        partial(read_delimited_chunks, delimiter=delimiter),
        partial(write_delimited, delimiter=delimiter),
    )


FORMATS = {
    ".csv": _delimited(","),
    ".tsv": _delimited("\t"),
    ".jsonl": Format(read_json_lines, json_lines_schema, read_json_lines_chunks, write_json_lines),
    ".parquet": Format(_read_parquet, _parquet_schema, _read_parquet_chunks, _write_parquet),
}
