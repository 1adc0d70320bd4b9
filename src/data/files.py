"""Readers and writers of table files, selected by suffix: CSV, TSV, JSON, JSONL and Parquet, text also gzipped."""

import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from src.data.columns import number_rows, require_columns
from src.data.delimited import DelimitedFile, write_delimited
from src.data.json_files import JsonFile, write_json
from src.data.parquet_files import ParquetFile, write_parquet
from src.data.text_files import GZIP, write_text_file
from src.utils.errors import UserError

PARQUET = ".parquet"
DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON = {".json": True, ".jsonl": False}
"""Whether the objects of a file with this suffix are written as an array."""
TEXT = (*DELIMITERS, *JSON)
FORMATS = (*TEXT, PARQUET, *(f"{suffix}{GZIP}" for suffix in TEXT))
"""Suffixes of the files that can be read and written."""


class TableFile(Protocol):
    """A table in a file; its methods and attributes raise `UserError` for malformed content."""

    path: Path
    notes: list[str]
    """Remarks on how the file was read, one sentence each."""
    is_quoted: bool
    """Whether a value can contain delimiters and line breaks."""

    @property
    def names(self) -> list[str]:
        """Names of the columns and of nested fields, such as `labels.real-label`."""

    @property
    def schema(self) -> pa.Schema:
        """All columns; of a JSON file after all rows have been read."""

    def chunks(self, names: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield the columns or nested fields `names`, all columns by default, of the rows in file order."""


def open_file(path: Path, quoting: str = "auto") -> TableFile:
    """Return the table in a file; `quoting`: auto, none or csv, for CSV and TSV.

    Raises `UserError` if the file is missing, empty, or of another format or encoding.
    """
    if suffix_of(path) not in FORMATS:
        raise UserError(
            f"{path}: expected a file that ends in one of {list(FORMATS)}, found {suffix_of(path)!r}: convert or rename"
            " it."
        )
    check_readable(path)
    kind = kind_of(path)
    if kind == PARQUET:
        return ParquetFile(path)
    return JsonFile(path) if kind in JSON else DelimitedFile(path, quoting, DELIMITERS[kind])


def read_columns(file: TableFile, names: Sequence[str], advice: str) -> pa.Table:
    """Return the given columns of all rows in file order, numbered from 1, the header not counted.

    Raises `UserError` if a row is invalid, or a column is missing; that error ends with the advice.
    """
    require_columns(names, file.names, str(file.path), advice)
    chunks = list(file.chunks(names))
    if not sum(chunk.num_rows for chunk in chunks):
        raise UserError(f"{file.path}: expected rows of examples, found a header only: add rows to it.")
    return number_rows(pa.concat_tables(chunks, promote_options="permissive"))


def suffix_of(path: Path) -> str:
    """Return the suffix in lower case, with the one before .gz."""
    return "".join(path.suffixes[-2:] if path.suffix.lower() == GZIP else path.suffixes[-1:]).lower()


def kind_of(path: Path) -> str:
    """Return the suffix in lower case, without .gz."""
    return suffix_of(path).removesuffix(GZIP)


def check_readable(path: Path) -> None:
    """Raise `UserError` unless the path is a readable, non-empty file."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise UserError(f"{path}: expected a file, found a directory or device: name a file.")
        with path.open("rb") as file:
            empty = not file.read(1)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: expected a file, found nothing (from {Path.cwd()}): correct the path.") from None
    except OSError as error:
        raise UserError(
            f"{path}: expected a readable file, found {error.strerror}: correct its path or permissions."
        ) from error
    if empty:
        raise UserError(f"{path}: expected rows of examples, found an empty file: add a header and rows to it.")


@contextmanager
def open_writer(
    path: Path, name: Path, schema: pa.Schema, is_quoted: bool = True
) -> Iterator[Callable[[pa.Table], None]]:
    """Create the file `path` in the format of the suffix of `name`, and yield a function that appends a chunk to it."""
    kind = kind_of(name)
    if kind == PARQUET:
        with write_parquet(path, schema) as append:
            yield append
        return
    with write_text_file(path, compress=suffix_of(name).endswith(GZIP)) as file:
        if kind in JSON:
            writer = write_json(file, JSON[kind])
        else:
            writer = write_delimited(file, schema, DELIMITERS[kind], is_quoted)
        with writer as append:
            yield append
