"""What a run shows in the terminal."""

from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from src.training.curve import CurveRow

console = Console(highlight=False, markup=False, emoji=False)  # names and sentences are printed as they are


class ProgressView:
    """A progress bar of the training and a line for each evaluation; a `Listener` of the training."""

    def __init__(self) -> None:
        self.progress = Progress(
            TextColumn("Training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
            console=console,
            transient=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def on_start(self, steps: int, step: int) -> None:
        """Show the bar and the head of the curve."""
        self.task = self.progress.add_task("training", total=steps, completed=step, loss="")
        self.progress.start()
        console.print(
            f"{'epoch':>7} {'step':>7} {'training loss':>14} {'validation loss':>16} {'Spearman':>9} {'Pearson':>9}"
        )

    def on_values(self, step: int, values: dict[str, float]) -> None:
        """Move the bar."""
        self.progress.update(self.task, completed=step, loss=f"loss {values['training_loss']:.4f}")

    def on_row(self, row: CurveRow) -> None:
        """Print the row."""
        console.print(
            f"{row.epoch:7.2f} {row.step:7d} {row.training_loss:14.4f} {row.validation_loss:16.4f} "
            f"{row.spearman_cosine:9.4f} {row.pearson_cosine:9.4f}"
        )


def from_here(path: Path) -> Path:
    """Return a path as it is named from the working folder, if it lies below that."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def print_table(title: str, rows: dict[str, str]) -> None:
    """Print names and values."""
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, value)
    console.print()
    console.print(table)
