"""What a prediction shows in the terminal."""

from collections.abc import Iterator

import pyarrow as pa
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from src.prediction.tables import PIECE, Piece, Source
from src.report.console import console

SHOWN = 20
"""Pairs or queries that are printed where no file is written."""


def bars() -> Progress:
    """Return the progress display: done and all rows, rows a second, time."""
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


def tracked(progress: Progress, title: str, source: Source, rows: int = PIECE) -> Iterator[Piece]:
    """Yield the pieces of the source; the bar counts one as done when the next is asked for."""
    bar = progress.add_task(title, total=source.rows, rate="–")
    for piece in source.pieces(rows):
        yield piece
        progress.advance(bar, piece.table.num_rows)
        task = progress.tasks[bar]
        progress.update(bar, rate=f"{task.completed / (task.elapsed or 1):,.0f}")


def print_pairs(rows: pa.Table, total: int) -> None:
    """Print the first of `total` scored pairs, the score in front: it shows where a row of long texts begins."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    *given, score = rows.schema.names
    table.add_column(score, justify="right")
    for name in given:
        table.add_column(name, overflow="fold")
    for *values, scored in zip(*rows.to_pydict().values(), strict=True):
        table.add_row(f"{scored:.4f}", *(str(value) for value in values))
    console.print(table)
    _print_rest("pairs", total)


def print_ranking(rows: pa.Table, top_k: int, total: int) -> None:
    """Print the first of `total` queries, below each its `top_k` candidates: rank, score, text."""
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


def print_written(output: str, rows: int, encoded: int, seconds: float) -> None:
    """Print what was done and how fast."""
    console.print(
        f"{output}: {rows:,} rows answered in {seconds:.1f} s, {rows / seconds:,.0f} a second;"
        f" {encoded:,} sentences encoded"
    )
