"""Console messages of a training run: data and encoder, progress and curve, and the final summary."""

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from src.config import Config
from src.data import ExampleSet
from src.encoder import BaseModel
from src.evaluation.metrics import METRICS, PEARSON, SPEARMAN, TRAINING_LOSS
from src.evaluation.result import Result
from src.tracking import Run
from src.tracking.links import ui_title
from src.tracking.views import SCORES
from src.training.callbacks import CurveRow
from src.utils.console import console, log_links, log_table, relative_to_cwd

log = logging.getLogger(__name__)

HEADER = f"{'epoch':>7} {'step':>7} {'training loss':>14} {'validation loss':>16} {'Spearman':>9} {'Pearson':>9}"
"""Header line of the curve."""


class ProgressView:
    """`TrainingCallback` that shows a progress bar on a terminal and logs a line for each evaluation.

    `clock`: time in seconds, of which the bar shows how much has passed and is left.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
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
            get_time=clock,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.progress.add_task("training", total=None, loss="")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def on_train_begin(self, steps: int, step: int) -> None:
        """Start the bar and log the header of the curve."""
        self.progress.reset(self.task, total=steps, completed=step)
        self.progress.start()
        log.info(HEADER)

    def on_step(self, step: int, values: dict[str, float]) -> None:
        """Advance the bar."""
        self.progress.update(self.task, completed=step, loss=f"loss {values[TRAINING_LOSS]:.4f}")

    def on_evaluate(self, row: CurveRow) -> None:
        """Log the row."""
        metrics = " ".join(f"{row.metrics[name]:9.4f}" for name in METRICS)
        training_loss = "–" if math.isnan(row.training_loss) else f"{row.training_loss:.4f}"
        log.info(f"{row.epoch:7.2f} {row.step:7d} {training_loss:>14} {row.validation_loss:16.4f} {metrics}")


def log_sources(pairs: ExampleSet, base: BaseModel) -> None:
    """Log the source of the pairs, warnings about them, and the base encoder."""
    name, train, dev = pairs.provenance.name, len(pairs.train), len(pairs.dev)
    log.info(f"Pairs: {name} ({pairs.source}), {train:,} train, {dev:,} dev")
    for remark in filter(None, (pairs.provenance.note, *pairs.warnings)):
        log.warning(f"  note: {remark}")
    log.info(f"Encoder: {base.name}")


def log_behind(behind: str | None) -> None:
    """Log a warning about operations not yet sent to the tracking store; None: all are sent."""
    if behind:
        log.warning(f"  note: tracking is behind: {behind}")


def log_summary(
    result: Result, config: Config, behind: str | None = None, champion: dict[str, str] | None = None
) -> None:
    """Log the scores of a run, its cost, and the location of its model.

    `behind`: message about operations not yet sent to the tracking store, None if all are sent. `champion`: the row
    about the champion, if any.
    """
    rows = {
        "data": f"{result.data_source}, {result.train_pairs:,} train and {result.dev_pairs:,} dev pairs",
        "note": result.data_note or "–",
        "base encoder": result.base_model,
        f"Spearman ({result.evaluated_on})": f"{_score(result, SPEARMAN, config)}{_context(result)}",
        f"Pearson ({result.evaluated_on})": _score(result, PEARSON, config),
        "time": f"{result.train_seconds:.0f} s training, {result.evaluation_seconds:.0f} s evaluation",
        "throughput": f"{result.pairs_per_second:.1f} pairs a second in {result.precision}",
        "peak memory": f"{result.peak_memory_mb:,.0f} MB",
        "model": _model(result, config),
        **(champion or {}),
    }
    log_table(f"{result.experiment}: run {result.run_id}", rows | ({"tracking": f"behind: {behind}"} if behind else {}))


def _score(result: Result, name: str, config: Config) -> str:
    reference = result.comparable(config.published).get(name)
    return f"{result.scores[name]}" + ("" if reference is None else f"; published card {reference:.4f}")


def _context(result: Result) -> str:
    """Return the Spearman before training, and that of a perfect order unless it is above 0.99 despite tied scores."""
    before, ceiling = f"; before training (dev) {result.before.value:.4f}", result.spearman_ceiling
    return (
        before
        if ceiling is None or ceiling > 0.99
        else f"{before}; the tied gold scores limit a perfect order to {ceiling:.3f}"
    )


def _model(result: Result, config: Config) -> str:
    folder = str(relative_to_cwd(Path(config.folder) / "model"))
    return folder + (f", registered as models:/{config.name}/{result.model_version}" if result.model_version else "")


def log_pages(run: Run, view: str = SCORES) -> None:
    """Log the addresses of the run's pages in the MLflow UI; nothing until the store has recorded the run.

    `view`: that of the list of runs.
    """
    if pages := run.pages(view):
        log_links(ui_title(run.config.tracking), pages)
