"""What a prediction shows in the terminal."""

from collections.abc import Iterator

import pyarrow as pa
from rich.markup import escape
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
    return Progress(*columns, console=console, transient=True)


def tracked(progress: Progress, title: str, source: Source, rows: int = PIECE) -> Iterator[Piece]:
    """Yield the pieces of the source; the bar counts one as done when the next is asked for."""
    bar = progress.add_task(title, total=source.rows, rate="–")
    for piece in source.pieces(rows):
        yield piece
        progress.advance(bar, piece.table.num_rows)
        task = progress.tasks[bar]
        progress.update(bar, rate=f"{task.completed / (task.elapsed or 1):,.0f}")


def print_rows(rows: pa.Table, total: int) -> None:
    """Print the answers to the first of `total` rows."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for field in rows.schema:
        table.add_column(escape(field.name), justify="right" if pa.types.is_floating(field.type) else "left")
    for row in rows.to_pylist():
        table.add_row(*(f"{value:.4f}" if isinstance(value, float) else escape(str(value)) for value in row.values()))
    console.print(table)
    if total > SHOWN:
        console.print(f"The first {SHOWN} of {total:,} rows; output=FILE writes all.")


def print_written(output: str, rows: int, encoded: int, seconds: float) -> None:
    """Print what was done and how fast."""
    console.print(
        f"{output}: {rows:,} rows answered in {seconds:.1f} s, {rows / seconds:,.0f} a second;"
        f" {encoded:,} sentences encoded",
        markup=False,
    )
