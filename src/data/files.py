"""Tables out of CSV, TSV, JSONL and Parquet files, each row numbered as in the file."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from src.data.columns import Columns, number_rows
from src.data.delimited import read_delimited
from src.data.json_lines import read_json_lines
from src.errors import UserError, in_short

T = TypeVar("T")


def read_table(path: Path, columns: Columns) -> pa.Table:
    """Return the named columns of the file in file order, with data rows numbered from 1 (the header not counted).

    Raises `UserError` where the file is missing, empty, of another format or encoding, or broken.
    """
    check_readable(path)
    table = by_ending(path, READERS)(path, columns)
    if not table.num_rows:
        raise UserError(f"{path}: expected rows of pairs, found a header only: add pairs to it.")
    return number_rows(table)


def by_ending(path: Path, formats: Mapping[str, T]) -> T:
    """Return what belongs to the file's ending; raise `UserError` for another ending."""
    found = formats.get(path.suffix.lower())
    if found is None:
        raise UserError(
            f"{path}: expected a file that ends in one of {list(formats)}, found {path.suffix!r}: convert or rename it."
        )
    return found


def check_readable(path: Path) -> None:
    """Raise `UserError` unless the path is a file that can be read and is not empty."""
    if not path.exists():
        raise UserError(f"{path}: expected a file, found nothing (from {Path.cwd()}): correct the path.")
    if not path.is_file():
        raise UserError(f"{path}: expected a file, found a directory or device: give the file in it.")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise UserError(
            f"{path}: expected a readable file, found {error.strerror}: correct its permissions."
        ) from error
    if empty:
        raise UserError(f"{path}: expected rows of pairs, found an empty file: add a header and pairs to it.")


@contextmanager
def open_parquet(path: Path, memory_map: bool = False) -> Iterator[pq.ParquetFile]:
    """Yield the file for reading; raise `UserError` where it turns out to be none of Parquet."""
    try:
        with pq.ParquetFile(path, memory_map=memory_map) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: expected a Parquet file, found {in_short(error)}: write it again.") from error


def _read_parquet(path: Path, columns: Columns) -> pa.Table:
    with open_parquet(path, memory_map=True) as file:
        columns.require(file.schema_arrow.empty_table().flatten().schema.names, str(path))
        return file.read(columns=list(columns.names)).flatten().select(list(columns.names))


READERS: dict[str, Callable[[Path, Columns], pa.Table]] = {
    ".csv": partial(read_delimited, delimiter=","),
    ".tsv": partial(read_delimited, delimiter="\t"),
    ".jsonl": read_json_lines,
    ".parquet": _read_parquet,
}
