"""Files of texts: checked completely, read in chunks, and written atomically."""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from src.data.columns import ROW, Remarks, check_text, column, column_names, require_columns, short_repr
from src.data.files import FORMATS, TableFile, open_file, open_writer, suffix_of
from src.utils.errors import UserError, shorten
from src.utils.files import atomic_write, path_of

CHUNK_ROWS = 1024
TEXT_COLUMNS = ("text", "sentence1")
"""Default names of the text column, in order of precedence."""
SCORE_COLUMNS = ("score", "predicted")
"""Names of the new column; the first one that the input does not have is used."""
RANKING_SCHEMA = pa.schema(
    [("query", pa.string()), ("rank", pa.int64()), ("candidate", pa.string()), ("score", pa.float64())]
)

ColumnSelector = Callable[[str, Sequence[str]], Sequence[str]]
"""Returns the text columns for the name of a file and all its columns, or raises `UserError`."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of a file."""

    table: pa.Table
    """All columns, unchanged."""
    columns: tuple[str, ...]
    """The text columns."""
    texts: list[list[str]]
    """The sentences of each text column, checked and in Unicode NFC as in training."""

    @property
    def originals(self) -> list[str]:
        """The texts of the first text column as in the file."""
        return list(column(self.table, self.columns[0]).to_pylist())


@dataclass(frozen=True)
class TextTable:
    """A checked file of texts."""

    file: TableFile
    columns: tuple[str, ...]
    """The text columns."""
    rows: int
    notes: tuple[str, ...]
    """Remarks on the file and on unusual values, one sentence each."""

    @property
    def schema(self) -> pa.Schema:
        """All columns."""
        return self.file.schema

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[Chunk]:
        """Yield the rows in file order, at most `rows` at a time."""
        return _read_chunks(self.file, self.columns, rows, Remarks(str(self.file.path)))


def open_table(name: str, select: ColumnSelector, quoting: str = "auto") -> TextTable:
    """Return the table in a file, after a first pass that checks all rows.

    Raises `UserError` if the file is missing, malformed, of an unknown format, or without rows or required columns; or
    a text is missing or blank. The message names the file, and the row and column of a text.
    """
    file = open_file(path_of(name), quoting)
    where = str(file.path)
    twice = [column for column, count in Counter(file.schema.names).items() if count > 1]
    if twice:
        raise UserError(f"{where}: expected each column once, found {twice} more than once: rename the others.")
    columns = tuple(select(where, column_names(file.schema)))
    remarks = Remarks(where)
    rows = sum(chunk.table.num_rows for chunk in _read_chunks(file, columns, CHUNK_ROWS, remarks))
    if not rows:
        raise UserError(f"{where}: expected rows, found a header only: add rows to it.")
    return TextTable(file, columns, rows, (*file.notes, *remarks.sentences()))


def pair_columns(sentence1: str, sentence2: str) -> ColumnSelector:
    """Return the selector of both text columns in a file of pairs."""

    def select(where: str, names: Sequence[str]) -> Sequence[str]:
        advice = "rename the columns or set sentence1=COLUMN and sentence2=COLUMN"
        require_columns([sentence1, sentence2], names, where, advice)
        if set(SCORE_COLUMNS) <= set(names):
            raise UserError(
                f"{where}: expected a free column name out of {list(SCORE_COLUMNS)}, found both: rename one."
            )
        return sentence1, sentence2

    return select


def text_column(key: str, column: str | None) -> ColumnSelector:
    """Return the selector of the text column: `column` if given, else the only one, else `text`, else `sentence1`.

    `key`: the setting for `column`.
    """

    def select(where: str, names: Sequence[str]) -> Sequence[str]:
        defaults = [name for name in TEXT_COLUMNS if name in names]
        name = column or (names[0] if len(names) == 1 else next(iter(defaults), None))
        if name is None:
            raise UserError(
                f"{where}: expected one column or one of {list(TEXT_COLUMNS)}, found {short_repr(list(names))}:"
                f" set {key}=COLUMN."
            )
        require_columns([name], names, where, f"rename the column or set {key}=COLUMN")
        return (name,)

    return select


def scored_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema with the new column for similarities at its end."""
    return schema.append(pa.field(next(name for name in SCORE_COLUMNS if name not in schema.names), pa.float64()))


def check_output(name: str, inputs: Sequence[str]) -> Path:
    """Return the path of an output file; raise `UserError` if it cannot be written or is one of the inputs."""
    path = path_of(name)
    if suffix_of(path) not in FORMATS:
        raise UserError(f"output={name}: expected a name that ends in one of {list(FORMATS)}: give it such an ending.")
    if not path.parent.is_dir():
        raise UserError(f"output={name}: expected a folder at {path.parent}, found none: make it or correct the path.")
    if path.is_dir():
        raise UserError(f"output={name}: expected a file, found a folder: give the name of a file in it.")
    if path.resolve() in [path_of(other).resolve() for other in inputs]:
        raise UserError(f"output={name}: expected another file than the input, found the same: choose another name.")
    return path


def write_table(
    path: Path, schema: pa.Schema, chunks: Iterable[pa.Table], rows: int | None = None, is_quoted: bool = True
) -> None:
    """Write all chunks to a file, atomically; raise `UserError` if that is impossible.

    `rows`: expected number of rows; `is_quoted`: whether quotation marks enclose values of a CSV or TSV file.
    """
    written = 0
    try:
        with (
            atomic_write(path) as temporary,
            open_writer(temporary, path, schema, is_quoted) as append,
        ):
            for chunk in chunks:
                append(chunk)
                written += chunk.num_rows
            if rows not in (None, written):
                raise UserError(
                    f"output={path}: expected {rows:,} rows as in the check of the input, found {written:,}: leave the"
                    " input unchanged and run the same command again."
                )
    except (OSError, pa.ArrowException, csv.Error) as error:
        raise UserError(
            f"output={path}: expected to write it, found: {shorten(error)}: choose another output."
        ) from error


def _read_chunks(file: TableFile, columns: tuple[str, ...], rows: int, remarks: Remarks) -> Iterator[Chunk]:
    start = 0
    for table in file.chunks():
        for offset in range(0, table.num_rows, rows):
            part = table.slice(offset, rows)
            numbers = pa.array(np.arange(start + 1, start + 1 + part.num_rows))
            start += part.num_rows
            texts = pa.table([*(column(part, name) for name in columns), numbers], names=[*columns, ROW])
            yield Chunk(part, columns, [check_text(texts, name, remarks).to_pylist() for name in columns])
