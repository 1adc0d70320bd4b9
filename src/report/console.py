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
from src.evaluation.metrics import TRAINING_LOSS
from src.evaluation.names import by_dimension, headline, label_of, own
from src.evaluation.result import Result
from src.report.sentence import signed
from src.report.words import WORDS
from src.tracking import Run
from src.tracking.links import ui_title
from src.tracking.views import SCORES
from src.training.callbacks import CurveRow
from src.utils.console import console, log_links, log_table, relative_to_cwd

log = logging.getLogger(__name__)

HEADER = f"{'epoch':>7} {'step':>7} {'training loss':>14} {'validation loss':>16}"
"""Beginning of the header line of the curve; columns of metrics follow."""
SHOWN = 2
"""Number of metrics in the curve; of a mixture the leading one of each other set follows."""


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
        self.columns: dict[str, str] = {}
        """Labels of the metrics in the curve, by name; empty before its first row."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def on_train_begin(self, steps: int, step: int) -> None:
        """Start the bar."""
        self.progress.reset(self.task, total=steps, completed=step)
        self.progress.start()

    def on_step(self, step: int, values: dict[str, float]) -> None:
        """Advance the bar."""
        self.progress.update(self.task, completed=step, loss=f"loss {values[TRAINING_LOSS]:.4f}")

    def on_evaluate(self, row: CurveRow) -> None:
        """Log the row, the first one below the header of the curve."""
        if not self.columns:
            shown = headline(row.metrics)
            count = len(own(shown))
            self.columns = {name: f"{label_of(name):>9}" for name in (*shown[: min(count, SHOWN)], *shown[count:])}
            log.info(" ".join([HEADER, *self.columns.values()]))
        metrics = " ".join(f"{row.metrics[name]:{len(label)}.4f}" for name, label in self.columns.items())
        training_loss = "–" if math.isnan(row.training_loss) else f"{row.training_loss:.4f}"
        log.info(f"{row.epoch:7.2f} {row.step:7d} {training_loss:>14} {row.validation_loss:16.4f} {metrics}")


def log_sources(examples: ExampleSet, base: BaseModel) -> None:
    """Log the sources of the examples, warnings about them, and the base encoder."""
    for each in examples.sets.values():
        unit, name = WORDS[each.shape.name].unit.capitalize(), each.provenance.name
        log.info(f"{unit}: {name} ({each.source}), {len(each.train):,} train, {len(each.dev):,} dev")
        if each.provenance.note:
            log.warning(f"  note: {each.provenance.note}")
    for remark in examples.warnings:
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
    split, unit = result.evaluated_on, WORDS[result.shape].unit
    rows = {
        "data": f"{result.data_source}, {result.train_pairs:,} train and {result.dev_pairs:,} dev {unit}",
        "note": result.data_note or "–",
        "base encoder": result.base_model,
        **{
            f"{label_of(name)} ({'dev' if '/' in name else split})": _score(result, name, config)
            for name in headline(result.scores)
        },
        **_context(result, split),
        "time": f"{result.train_seconds:.0f} s training, {result.evaluation_seconds:.0f} s evaluation",
        "throughput": f"{result.pairs_per_second:.1f} {unit} a second in {result.precision}",
        "peak memory": f"{result.peak_memory_mb:,.0f} MB",
        "model": _model(result, config),
        **(champion or {}),
    }
    log_table(f"{result.experiment}: run {result.run_id}", rows | ({"tracking": f"behind: {behind}"} if behind else {}))


def _score(result: Result, name: str, config: Config) -> str:
    """Return a metric with its interval; of the leading one also its values before training and of a perfect order.

    The latter is left out if it is above 0.99 despite tied scores.
    """
    parts, reference = [f"{result.scores[name]}"], result.comparable(config.published).get(name)
    if reference is not None:
        parts.append(f"published card {reference:.4f}")
    if name == result.metric.name:
        parts.append(f"before training (dev) {result.before}")
        if result.spearman_ceiling is not None and result.spearman_ceiling <= 0.99:
            parts.append(f"the tied gold scores limit a perfect order to {result.spearman_ceiling:.3f}")
    return "; ".join(parts)


def _context(result: Result, split: str) -> dict[str, str]:
    """Return the rows about the gain, and about embeddings cut to fewer dimensions, that a result has."""
    label, rows = result.metric.label, {}
    if gain := result.gain:
        rows[f"gain ({split})"] = signed(gain)
    if dims := by_dimension(result.metric.name, result.scores):
        values = [f"{dim}: {result.scores[name].value:.4f}" for dim, name in dims.items()]
        rows[f"{label} by dimension ({split})"] = ", ".join(values)
    return rows


def _model(result: Result, config: Config) -> str:
    folder = str(relative_to_cwd(Path(config.folder) / "model"))
    return folder + (f", registered as models:/{config.name}/{result.model_version}" if result.model_version else "")


def log_pages(run: Run, view: str = SCORES) -> None:
    """Log the addresses of the run's pages in the MLflow UI; nothing until the store has recorded the run.

    `view`: that of the list of runs.
    """
    if pages := run.pages(view):
        log_links(ui_title(run.config.tracking), pages)
