"""Differences in the leading metric between runs or recipes on the same examples, with their significance."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from src.comparison.runs import SEED, ComparedRun
from src.evaluation.bootstrap import percentile_interval
from src.evaluation.permutation import permutation_p_value
from src.evaluation.seeds import difference_over_seeds
from src.evaluation.statistics import Estimate, holm

SIGNIFICANCE_LEVEL = 0.05


@dataclass(frozen=True)
class Difference:
    """Leading metric of `second` minus that of `first`, on the same pairs or queries; of several seeds the mean."""

    first: str
    second: str
    estimate: Estimate
    """With its 95 % interval over pairs or queries; over seeds too if one of both has several."""
    p_value: float
    """Two-sided p-value, corrected for the number of differences (Holm)."""
    rows: int
    unit: str
    """What the rows are: pairs or queries."""
    seeds: tuple[int, int] = (1, 1)
    """Number of seeds of `first` and `second`."""

    @property
    def significant(self) -> bool:
        """Whether both the interval and the corrected p-value show a difference."""
        return is_significant(self.estimate, self.p_value)

    @property
    def verdict(self) -> str:
        """The outcome in words, with the gain and its interval."""
        if not self.significant:
            seeds = "" if self.seeds == (1, 1) else " with {} and {} seeds".format(*self.seeds)
            return f"{self.first} and {self.second}: no significant difference on {self.rows:,} {self.unit}{seeds}"
        value, low, high = self.estimate
        better, worse = (self.second, self.first) if value > 0 else (self.first, self.second)
        low, high = sorted((abs(low), abs(high)))
        return f"{better} is better than {worse}: {abs(value):+.3f} [{low:.3f}, {high:.3f}]"


def is_significant(estimate: Estimate, p_value: float) -> bool:
    """Return whether a difference is shown by both its interval and its p-value; NaN shows none."""
    return p_value < SIGNIFICANCE_LEVEL and (estimate.low > 0 or estimate.high < 0)


def differences(runs: list[ComparedRun]) -> list[Difference]:
    """Return the difference between every two runs, which must have been evaluated on the same pairs or queries."""
    couples = list(combinations(runs, 2))
    estimates, p_values = zip(*(_difference(*couple) for couple in couples), strict=True)
    return [
        Difference(a.letter, b.letter, estimate, p_value, len(a.rows), a.unit, (len(a.results), len(b.results)))
        for (a, b), estimate, p_value in zip(couples, estimates, holm(list(p_values)), strict=True)
    ]


def _difference(first: ComparedRun, second: ComparedRun) -> tuple[Estimate, float]:
    """Return the difference with its 95 % interval and p-value.

    Where both have one seed, nothing is known of the variance between seeds: bootstrap and permutations over rows.
    """
    before, after = first.scores(first.metric), second.scores(first.metric)
    if len(first.results) + len(second.results) > 2:
        return difference_over_seeds(before, after)
    interval = percentile_interval(after.resamples.trainings - before.resamples.trainings)
    gold, (one,) = first.values(first.metric)
    _, (other,) = second.values(first.metric)
    p_value = permutation_p_value(first.metric, gold, one, other, SEED)
    return Estimate(float(after.values[0] - before.values[0]), *interval), p_value


def disagreements(runs: list[ComparedRun], count: int) -> pd.DataFrame:
    """Return the pairs that the runs rank most differently, or the queries on which their leading metric differs most.

    Each run has its prediction, or its value of the metric, under its letter, of several seeds the mean. `spread` is
    the distance between the highest and the lowest value, of pairs that between their ranks, as a share of all pairs,
    of several seeds between mean ranks; never 0.
    """
    metric, rows = runs[0].metric, runs[0].rows
    values = [run.values(metric)[1] for run in runs]
    places = [rankdata(each, axis=1) / len(rows) for each in values] if metric.of_similarities else values
    means = {run.letter: each.mean(axis=0) for run, each in zip(runs, values, strict=True)}
    table = rows.assign(**means, spread=np.ptp([each.mean(axis=0) for each in places], axis=0))
    return table[table["spread"] > 0].nlargest(count, "spread")
