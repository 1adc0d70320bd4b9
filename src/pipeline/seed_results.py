"""Results of the trainings with several seeds: their summary, their mean curve, and a table and a plot of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from src.evaluation.metrics import VALIDATION_LOSS, Metric, metrics_of
from src.evaluation.names import by_dimension
from src.evaluation.result import Result, SeedSummary, read_curve
from src.evaluation.seeds import seed_scores
from src.evaluation.statistics import UNKNOWN, Estimate
from src.report.figures import finish_axes, new_figure, save_figure
from src.utils.files import atomic_write

SEEDS = "seeds"
"""Subfolder of the result folder, with one result for each seed."""
TABLE, CURVES = f"{SEEDS}/seeds.csv", f"{SEEDS}/curves.png"


@dataclass(frozen=True)
class SeedResults:
    """Results of the trainings with several seeds, in the order of the seeds."""

    seeds: list[int]
    folders: list[Path]
    results: list[Result]
    curves: list[pd.DataFrame]
    predictions: list[pd.DataFrame]
    """Each with the same rows."""

    @classmethod
    def load(cls, folder: Path, seeds: list[int]) -> Self:
        """Return the results in the folders of these seeds, below the result folder `folder`."""
        folders = [folder / SEEDS / str(seed) for seed in seeds]
        results = [Result.load(each) for each in folders]
        return cls(
            seeds,
            folders,
            results,
            [read_curve(each, result.metric.name) for each, result in zip(folders, results, strict=True)],
            [pd.read_parquet(each / "predictions.parquet") for each in folders],
        )

    @property
    def first(self) -> Result:
        """The result of the first seed."""
        return self.results[0]

    def summary(self, parent_run: str) -> SeedSummary:
        """Return mean, deviation and interval of each metric, from the results and predictions of every seed.

        Those of other sets of a mixture, whose predictions are not kept, have no interval.
        """
        first = self.first
        values = {name: [result.scores[name].value for result in self.results] for name in first.scores}
        # the metrics that the predictions give: those of the result's own set of examples
        metrics = metrics_of(first.shape, tuple(by_dimension(first.metric.name, first.scores)))
        intervals = {
            metric.name: seed_scores(metric, self.predictions, self.seeds[0]).mean.interval for metric in metrics
        }
        means = {name: Estimate(float(np.mean(found)), *intervals.get(name, UNKNOWN)) for name, found in values.items()}
        deviations = {name: float(np.std(found, ddof=1)) for name, found in values.items()}
        return SeedSummary(parent_run, " ".join(map(str, self.seeds)), means, deviations)

    def mean_curve(self) -> pd.DataFrame:
        """Return the mean of the curves row by row, of the steps that all of them have: some may have stopped early."""
        by_step = pd.concat(self.curves).groupby("step")
        means = by_step.mean()[by_step.size() == len(self.curves)]
        return means.reset_index()[self.curves[0].columns]

    def write(self, folder: Path, result: Result) -> None:
        """Write `TABLE` and `CURVES` below `folder`; `result`: that of the whole."""
        with atomic_write(folder / TABLE) as temporary:
            rows = [result.to_dict() for result in self.results]
            columns = ["run_id", *self.first.scores, VALIDATION_LOSS, "train_seconds"]
            pd.DataFrame(rows, index=pd.Index(self.seeds, name="seed"))[columns].to_csv(temporary)
        averaged = result.leading.value if result.is_average and result.evaluated_on == "dev" else None
        self._plot_curves(result.metric, averaged, folder / CURVES)

    def _plot_curves(self, metric: Metric, averaged: float | None, path: Path) -> None:
        """Write the curves of all seeds as PNG; `averaged`: the metric of the mean of their weights on dev."""
        figure = new_figure(8, 4.5)
        axes = figure.subplots()
        for seed, curve in zip(self.seeds, self.curves, strict=True):
            axes.plot(curve["step"], curve[metric.name], "o-", label=f"seed {seed}")
        if averaged is not None:
            axes.axhline(averaged, color="grey", linestyle=":", label=f"mean of their weights: {averaged:.4f}")
        finish_axes(axes, f"{metric.label} on dev", "step", metric.label)
        save_figure(figure, path)
