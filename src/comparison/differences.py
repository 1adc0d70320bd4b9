"""Differences in Spearman between runs or recipes on the same evaluation pairs, with their significance."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from src.comparison.runs import SEED, ComparedRun
from src.evaluation.metrics import SPEARMAN
from src.evaluation.seeds import difference_over_seeds
from src.evaluation.statistics import Estimate, holm, percentile_interval, permutation_p_value

SIGNIFICANCE_LEVEL = 0.05


@dataclass(frozen=True)
class Difference:
    """Spearman of `second` minus that of `first`, on the same pairs; of several seeds the mean."""

    first: str
    second: str
    estimate: Estimate
    """With its 95 % interval over pairs; over pairs and seeds if one of both has several."""
    p_value: float
    """Two-sided p-value, corrected for the number of differences (Holm)."""
    pairs: int
    seeds: tuple[int, int] = (1, 1)
    """Number of seeds of `first` and `second`."""

    @property
    def significant(self) -> bool:
        """Whether both the interval and the corrected p-value show a difference."""
        return self.p_value < SIGNIFICANCE_LEVEL and not self.estimate.low <= 0 <= self.estimate.high

    @property
    def verdict(self) -> str:
        """The outcome in words, with the gain and its interval."""
        if not self.significant:
            seeds = "" if self.seeds == (1, 1) else " with {} and {} seeds".format(*self.seeds)
            return f"{self.first} and {self.second}: no significant difference on {self.pairs:,} pairs{seeds}"
        value, low, high = self.estimate
        better, worse = (self.second, self.first) if value > 0 else (self.first, self.second)
        low, high = sorted((abs(low), abs(high)))
        return f"{better} is better than {worse}: {abs(value):+.3f} [{low:.3f}, {high:.3f}]"


def differences(runs: list[ComparedRun]) -> list[Difference]:
    """Return the difference between every two runs, which must have the same evaluation pairs."""
    couples = list(combinations(runs, 2))
    estimates, p_values = zip(*(_difference(*couple) for couple in couples), strict=True)
    return [
        Difference(a.letter, b.letter, estimate, p_value, len(a.pairs), (len(a.results), len(b.results)))
        for (a, b), estimate, p_value in zip(couples, estimates, holm(list(p_values)), strict=True)
    ]


def _difference(first: ComparedRun, second: ComparedRun) -> tuple[Estimate, float]:
    """Return the difference with its 95 % interval and p-value.

    Where both have one seed, nothing is known of the variance between seeds: bootstrap and permutations over pairs.
    """
    before, after = first.scores(SPEARMAN), second.scores(SPEARMAN)
    if len(first.results) + len(second.results) > 2:
        return difference_over_seeds(before, after)
    interval = percentile_interval(after.resamples.trainings - before.resamples.trainings)
    p_value = permutation_p_value(first.gold, first.predicted[0], second.predicted[0], SEED)
    return Estimate(float(after.values[0] - before.values[0]), *interval), p_value


def disagreements(runs: list[ComparedRun], count: int) -> pd.DataFrame:
    """Return the pairs that the runs rank most differently, with each run's prediction under its letter.

    Of several seeds it is the mean. `spread` is the distance between the highest and the lowest rank of a pair, of
    several seeds the mean rank, as a share of all pairs; never 0.
    """
    table = runs[0].pairs.assign(**{run.letter: run.predicted.mean(axis=0) for run in runs})
    ranks = [rankdata(run.predicted, axis=1).mean(axis=0) for run in runs]
    table["spread"] = np.ptp(ranks, axis=0) / len(table)
    return table[table["spread"] > 0].nlargest(count, "spread")
