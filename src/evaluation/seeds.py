"""Metrics of recipes over seeds, and differences of their means, with intervals over evaluated rows and seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t

from src.evaluation.bootstrap import Resamples, percentile_interval, resample
from src.evaluation.metrics import Metric
from src.evaluation.statistics import ROUNDING, Estimate, Floats


@dataclass(frozen=True)
class SeedScores:
    """A metric of the trainings of one recipe, one for each seed."""

    values: Floats
    """Shape (seeds,)."""
    resamples: Resamples

    @property
    def mean(self) -> Estimate:
        """The mean over the seeds, with its 95 % bootstrap interval over pairs or queries and seeds."""
        return Estimate(float(self.values.mean()), *percentile_interval(self.resamples.means))

    @property
    def deviation(self) -> float:
        """The standard deviation over the seeds; at least two are needed."""
        return float(self.values.std(ddof=1))

    @property
    def explained(self) -> float:
        """The part of the variance between seeds that is due to the choice of the rows: seeds err on other rows."""
        errors = self.resamples.trainings - np.nanmean(self.resamples.trainings, axis=0)
        return float(np.nanmean(errors.var(axis=1, ddof=1)))


def seed_scores(metric: Metric, tables: Sequence[pd.DataFrame], seed: int, resamples: int = 2000) -> SeedScores:
    """Return a metric of the predictions of each seed, tables with the same rows; `seed` is that of the bootstrap."""
    values = [metric.values(table) for table in tables]
    predicted = np.stack([predicted for _, predicted in values])
    scores = np.array([metric.compute(table) for table in tables])
    return SeedScores(scores, resample(metric.statistic, values[0][0], predicted, seed, resamples))


def gain_over_seeds(metric: Metric, tables: Sequence[pd.DataFrame], other: pd.DataFrame, seed: int) -> Estimate:
    """Return a metric of `other` minus its mean over the predictions of each seed, with its 95 % interval.

    All tables have the same rows, which are resampled together (paired bootstrap); the trainings are taken as given.
    """
    drawn = seed_scores(metric, [*tables, other], seed)
    differences = drawn.resamples.trainings[:, -1] - drawn.resamples.trainings[:, :-1].mean(axis=1)
    return Estimate(float(drawn.values[-1] - drawn.values[:-1].mean()), *percentile_interval(differences))


def difference_over_seeds(first: SeedScores, second: SeedScores) -> tuple[Estimate, float]:
    """Return the mean of `second` minus that of `first` with its 95 % interval, and the two-sided p-value of equality.

    Pairs are the same for all trainings, seeds are not paired. The variance is that over pairs with these trainings
    (paired bootstrap), plus for each recipe the variance between its seeds beyond what the pairs explain, divided by
    their number: the analysis of several readers and cases of Obuchowski and Rockette (1995), with readers nested in
    tests. Interval and p-value follow Student's t with Satterthwaite's degrees of freedom, as in Welch's test (1947)
    and by Hillis (2007), so that the interval excludes 0 if and only if p < 0.05. A recipe with one seed is taken to
    vary between seeds as the other does; one of the two needs at least two.

    In simulations without a difference, 1 to 5 % have p < 0.05, but 12 % for two seeds against five of a recipe whose
    seeds vary a quarter as much. Resampling seeds as well as pairs gives up to 19 % for three seeds.
    """
    value = float(second.values.mean() - first.values.mean())
    variance = float(
        np.nanvar(second.resamples.trainings.mean(axis=1) - first.resamples.trainings.mean(axis=1), ddof=1)
    )
    uncertainty = 0.0
    for own, other in ((first, second), (second, first)):
        seeds = len(own.values)
        if seeds > 1:
            share = 1 / seeds + (len(other.values) == 1)
            variance += share * max(own.deviation**2 - own.explained, 0.0)
            uncertainty += (share * own.deviation**2) ** 2 / (seeds - 1)
    freedom = variance**2 / uncertainty if variance and uncertainty else np.inf
    error = max(np.sqrt(variance), ROUNDING)
    half = float(t.isf(0.025, freedom) * error)
    return Estimate(value, value - half, value + half), float(2 * t.sf(abs(value) / error, freedom))
