"""Files of texts, read in pieces and checked whole before anything slow starts; files written whole or not at all."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from src.data.columns import ROW
from src.data.delimited import read_pieces, text_schema
from src.data.files import by_ending, check_readable
from src.data.values import check_text
from src.errors import UserError, in_short
from src.files import replacing
from src.prediction import delimited, json_lines, parquet

PIECE = 1024
"""Rows worked on at a time."""

Choose = Callable[[str, Sequence[str]], Sequence[str]]
"""Gives the text columns out of a file's name and its columns, or raises `UserError`."""
Write = Callable[[pa.Table], None]
"""Appends a piece to a file."""


@dataclass(frozen=True)
class Format:
    """How one kind of file is read and written in pieces."""

    schema: Callable[[Path], pa.Schema]
    read: Callable[[Path, pa.Schema], Iterator[pa.Table]]
    write: Callable[[Path, pa.Schema], AbstractContextManager[Write]]


def _delimited(delimiter: str) -> Format:
    return Format(
        partial(text_schema, delimiter=delimiter),
        partial(read_pieces, delimiter=delimiter),
        partial(delimited.write, delimiter=delimiter),
    )


FORMATS = {
    ".csv": _delimited(","),
    ".tsv": _delimited("\t"),
    ".jsonl": Format(json_lines.schema, json_lines.read, json_lines.write),
    ".parquet": Format(parquet.schema, parquet.read, parquet.write),
}


@dataclass(frozen=True)
class Piece:
    """Some rows of a file."""

    table: pa.Table
    """All columns, as they are in the file."""
    columns: tuple[str, ...]
    """The text columns."""
    texts: list[list[str]]
    """The sentences of each text column, checked and in Unicode NFC as in training."""


@dataclass(frozen=True)
class Source:
    """A file of texts that was found in order."""

    path: Path
    schema: pa.Schema
    columns: tuple[str, ...]
    """The text columns."""
    rows: int

    def pieces(self, rows: int = PIECE) -> Iterator[Piece]:
        """Yield the file in order, at most so many rows at a time."""
        return _pieces(self.path, self.schema, self.columns, rows)


def open_source(name: str, choose: Choose) -> Source:
    """Return the file after reading all of it once.

    Raises `UserError` where it is missing, broken, of no known format, without rows or columns that it needs, or
    where a text is missing or blank: all of it with the place.
    """
    path = Path(name).expanduser()
    check_readable(path)
    form = format_of(path)
    schema = form.schema(path)
    twice = [column for column, count in Counter(schema.names).items() if count > 1]
    if twice:
        raise UserError(f"{path}: expected each column once, found {twice} more than once: rename the others.")
    columns = tuple(choose(str(path), schema.names))
    rows = sum(piece.table.num_rows for piece in _pieces(path, schema, columns, PIECE))
    if not rows:
        raise UserError(f"{path}: expected rows, found a header only: add rows to it.")
    return Source(path, schema, columns, rows)


def format_of(path: Path) -> Format:
    """Return the format that the file's ending names; raise `UserError` for another ending."""
    return by_ending(path, FORMATS)


def check_output(name: str, inputs: Sequence[str]) -> Path:
    """Return the path to write to; raise `UserError` where nothing can be written there, or an input lies there."""
    path = Path(name).expanduser()
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"output={name}: expected a name that ends in one of {list(FORMATS)}: give it such an ending.")
    if not path.parent.is_dir():
        raise UserError(f"output={name}: expected a folder at {path.parent}, found none: make it or correct the path.")
    if path.is_dir():
        raise UserError(f"output={name}: expected a file, found a folder: give the name of a file in it.")
    if path.resolve() in [Path(other).expanduser().resolve() for other in inputs]:
        raise UserError(f"output={name}: expected another file than the input, found the same: choose another name.")
    return path


def write_pieces(path: Path, schema: pa.Schema, pieces: Iterable[pa.Table]) -> None:
    """Write all pieces to the file, which is there, whole, only after the last of them.

    Raises `UserError` where it cannot be written.
    """
    try:
        with replacing(path) as draft, format_of(path).write(draft, schema) as write:
            for piece in pieces:
                write(piece)
    except (OSError, pa.ArrowException) as error:
        raise UserError(
            f"output={path}: expected to write it, found: {in_short(error)}: choose another output."
        ) from error


def _pieces(path: Path, schema: pa.Schema, columns: tuple[str, ...], rows: int) -> Iterator[Piece]:
    start = 0
    for table in format_of(path).read(path, schema):
        for offset in range(0, table.num_rows, rows):
            part = table.slice(offset, rows)
            numbers = pa.array(np.arange(start + 1, start + 1 + part.num_rows))
            start += part.num_rows
            texts = [
                check_text(pa.table({column: part[column], ROW: numbers}), str(path), column)[0].to_pylist()
                for column in columns
            ]
            yield Piece(part, columns, texts)
