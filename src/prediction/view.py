"""Terminal output of a prediction: progress, the first predictions, and a summary."""

from collections.abc import Iterator

import pyarrow as pa
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from src.prediction.tables import CHUNK_ROWS, Chunk, TextTable
from src.utils.console import console

SHOWN = 20
"""Number of pairs or queries printed if there is no output file."""


def progress_bars() -> Progress:
    """Return the progress display: finished rows, all rows, rows a second, time; without a terminal it is disabled."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows, {task.fields[rate]} a second,"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def tracked(progress: Progress, title: str, table: TextTable, rows: int = CHUNK_ROWS) -> Iterator[Chunk]:
    """Yield the chunks of the table; a progress bar counts each chunk when the next one is requested."""
    bar = progress.add_task(title, total=table.rows, rate="–")
    for chunk in table.chunks(rows):
        yield chunk
        progress.advance(bar, chunk.table.num_rows)
        task = progress.tasks[bar]
        progress.update(bar, rate=f"{task.completed / (task.elapsed or 1):,.0f}")


def print_pairs(rows: pa.Table, total: int) -> None:
    """Print the first of `total` scored pairs; the score is the first column, to mark the start of long rows."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    *given, score = rows.schema.names
    table.add_column(score, justify="right")
    for name in given:
        table.add_column(name, overflow="fold")
    for *values, predicted in zip(*rows.to_pydict().values(), strict=True):
        table.add_row(f"{predicted:.4f}", *(str(value) for value in values))
    console.print(table)
    _print_rest("pairs", total)


def print_ranking(rows: pa.Table, top_k: int, total: int) -> None:
    """Print the first of `total` queries, each followed by its `top_k` candidates: rank, score, text."""
    for start in range(0, rows.num_rows, top_k):
        hits = rows.slice(start, top_k)
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(justify="right")
        table.add_column(justify="right")
        table.add_column(overflow="fold")
        for rank, candidate, score in zip(*hits.drop_columns("query").to_pydict().values(), strict=True):
            table.add_row(str(rank), f"{score:.4f}", candidate)
        console.print(hits["query"][0].as_py(), style="bold")
        console.print(Padding(table, (0, 0, 1, 2)))
    _print_rest("queries", total)


def _print_rest(kind: str, total: int) -> None:
    if total > SHOWN:
        console.print(f"The first {SHOWN} of {total:,} {kind}; output=FILE writes all.")
