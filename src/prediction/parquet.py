"""Parquet in pieces."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from src.data.files import open_parquet

ROWS = 8192
"""Rows read at a time."""
GROUP = 65_536
"""Rows of a row group; small groups make a file large and slow."""


def schema(path: Path) -> pa.Schema:
    """Return the columns without what other programs noted about them; raise `UserError` unless it is Parquet."""
    with open_parquet(path) as file:
        return file.schema_arrow.remove_metadata()


def read(path: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the rows in file order."""
    with open_parquet(path) as file:
        for batch in file.iter_batches(ROWS):
            yield pa.Table.from_batches([batch]).replace_schema_metadata(schema.metadata)


@contextmanager
def write(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """Yield the function that appends a piece."""
    with pq.ParquetWriter(path, schema) as writer:
        waiting = [schema.empty_table()]

        def flush() -> None:
            writer.write_table(pa.concat_tables(waiting))
            waiting.clear()

        def append(piece: pa.Table) -> None:
            waiting.append(piece)
            if sum(table.num_rows for table in waiting) >= GROUP:
                flush()

        yield append
        if waiting:
            flush()
