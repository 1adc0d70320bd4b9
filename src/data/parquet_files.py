"""Readers and writers of Parquet files."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from src.data.columns import column, column_names
from src.utils.errors import UserError, shorten

BATCH = 8192
"""Rows read at a time."""
ROW_GROUP = 65_536
"""Rows of a row group; small groups make a file large and slow."""


class ParquetFile:
    """A Parquet file; a field of a nested column has a dotted name, such as `labels.real-label`."""

    is_quoted = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []

    @cached_property
    def schema(self) -> pa.Schema:
        """All columns."""
        with self._open() as file:
            return file.schema_arrow.remove_metadata()

    @property
    def names(self) -> list[str]:
        """Names of the columns and of nested fields."""
        return column_names(self.schema)

    def chunks(self, names: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield the columns `names`, all by default, of the rows in file order."""
        with self._open() as file:
            for batch in file.iter_batches(BATCH, columns=None if names is None else list(names)):
                chunk = pa.Table.from_batches([batch]).replace_schema_metadata(None)
                yield chunk if names is None else pa.table([column(chunk, name) for name in names], names=list(names))

    @contextmanager
    def _open(self) -> Iterator[pq.ParquetFile]:
        """Yield the file for reading; turn Arrow's errors in the block into `UserError`."""
        try:
            with pq.ParquetFile(self.path) as file:
                yield file
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{self.path}: expected a Parquet file, found {shorten(error)}: write it again.") from error


@contextmanager
def write_parquet(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """Create a file and yield a function that appends a chunk."""
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
