"""Differences in Spearman between runs on the same evaluation pairs, with their significance."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from src.comparison.runs import PAIR, ComparedRun
from src.evaluation.statistics import Estimate, bootstrap_interval, holm, permutation_p_value, spearman_difference

SEED = 42
"""Seed of bootstrap and permutations, so that a comparison can be repeated."""
SIGNIFICANCE_LEVEL = 0.05


@dataclass(frozen=True)
class Difference:
    """Spearman of `second` minus that of `first`, on the same pairs."""

    first: str
    second: str
    estimate: Estimate
    """With its 95 % paired bootstrap interval."""
    p_value: float
    """Two-sided p-value of a permutation test, corrected for the number of differences (Holm)."""
    pairs: int

    @property
    def significant(self) -> bool:
        """Whether both the interval and the corrected p-value show a difference."""
        return self.p_value < SIGNIFICANCE_LEVEL and not self.estimate.low <= 0 <= self.estimate.high

    @property
    def verdict(self) -> str:
        """The outcome in words, with the gain and its interval."""
        if not self.significant:
            return f"{self.first} and {self.second}: no significant difference on {self.pairs:,} pairs"
        value, low, high = self.estimate
        better, worse = (self.second, self.first) if value > 0 else (self.first, self.second)
        low, high = sorted((abs(low), abs(high)))
        return f"{better} is better than {worse}: {abs(value):+.3f} [{low:.3f}, {high:.3f}]"


def differences(runs: list[ComparedRun]) -> list[Difference]:
    """Return the difference between every two runs, which must have the same evaluation pairs."""
    gold = runs[0].predictions["gold"].to_numpy()
    predicted = {run.letter: run.predictions["predicted"].to_numpy() for run in runs}
    couples = list(combinations(predicted, 2))
    p_values = holm([permutation_p_value(gold, predicted[a], predicted[b], SEED) for a, b in couples])
    found = []
    for (a, b), p_value in zip(couples, p_values, strict=True):
        scores = (gold, predicted[a], predicted[b])
        interval = bootstrap_interval(spearman_difference, *scores, seed=SEED)
        estimate = Estimate(float(spearman_difference(*scores)), *interval)
        found.append(Difference(a, b, estimate, p_value, len(gold)))
    return found


def disagreements(runs: list[ComparedRun], count: int) -> pd.DataFrame:
    """Return the pairs that the runs rank most differently, with each run's prediction under its letter.

    `spread` is the distance between the highest and the lowest rank of a pair, as a share of all pairs; never 0.
    """
    letters = [run.letter for run in runs]
    predicted = {run.letter: run.predictions["predicted"] for run in runs}
    table = runs[0].predictions[PAIR].assign(**predicted)
    table["spread"] = np.ptp(rankdata(table[letters], axis=0), axis=1) / len(table)
    return table[table["spread"] > 0].nlargest(count, "spread")
