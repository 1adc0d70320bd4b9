"""Which of two runs is better, as far as their evaluation pairs can tell."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from src.comparison.candidates import PAIR, Candidate
from src.metrics.statistics import Interval, difference_interval, holm, permutation_p_value, spearman

SEED = 42
"""The same runs get the same verdict."""
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Difference:
    """Spearman of `second` minus that of `first`, on the same pairs."""

    first: str
    second: str
    value: float
    interval: Interval
    """95 % paired bootstrap interval."""
    p_value: float
    """Of a permutation test, two-sided, corrected for the number of differences (Holm)."""
    pairs: int

    @property
    def shown(self) -> bool:
        """Whether the pairs show a difference: both the interval and the corrected p-value say so."""
        return self.p_value < SIGNIFICANT and not self.interval.low <= 0 <= self.interval.high

    @property
    def verdict(self) -> str:
        """The outcome in words; the interval is that of the gain."""
        if not self.shown:
            return f"{self.first} and {self.second}: no difference that {self.pairs:,} pairs could show"
        low, high = sorted((abs(self.interval.low), abs(self.interval.high)))
        better = self.second if self.value > 0 else self.first
        worse = self.first if self.value > 0 else self.second
        return f"{better} is better than {worse}: {abs(self.value):+.3f} [{low:.3f}, {high:.3f}]"


def differences(candidates: list[Candidate]) -> list[Difference]:
    """Return the difference of each two candidates; they have the same evaluation pairs."""
    gold = candidates[0].predictions["gold"].to_numpy()
    scores = {candidate.letter: candidate.predictions["predicted"].to_numpy() for candidate in candidates}
    couples = list(combinations(scores, 2))
    p_values = holm([permutation_p_value(gold, scores[a], scores[b], SEED) for a, b in couples])
    return [
        Difference(
            a,
            b,
            float(spearman(gold, scores[b]) - spearman(gold, scores[a])),
            difference_interval(gold, scores[a], scores[b], SEED),
            p_value,
            len(gold),
        )
        for (a, b), p_value in zip(couples, p_values, strict=True)
    ]


def disagreements(candidates: list[Candidate], count: int) -> pd.DataFrame:
    """Return the pairs that the candidates rank most differently, with every candidate's score under its letter.

    `spread` is the distance between the highest and the lowest rank a pair is given, as a share of all pairs; above 0.
    """
    table = candidates[0].predictions[PAIR].copy()
    for candidate in candidates:
        table[candidate.letter] = candidate.predictions["predicted"]
    ranks = rankdata(table[[candidate.letter for candidate in candidates]], axis=0)
    table["spread"] = np.ptp(ranks, axis=1) / len(table)
    return table[table["spread"] > 0].nlargest(count, "spread")
