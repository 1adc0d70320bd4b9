"""Paired permutation test of the difference between two models in any metric."""

from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata, zscore

from src.evaluation.bootstrap import chunks
from src.evaluation.metrics import Metric
from src.evaluation.statistics import (
    OF_COUNTS,
    ROUNDING,
    Floats,
    Statistic,
    average_precision,
    best_f1,
    mean,
    pearson,
    ratio_of_sums,
    spearman,
)

Difference = Callable[[Floats], Floats]
"""A function of swaps, shape (resamples, rows), 1 where the two models are swapped, else 0: the metric of the second
model minus that of the first, shape (resamples,)."""


def permutation_p_value(metric: Metric, gold: Floats, a: Floats, b: Floats, seed: int, resamples: int = 4999) -> float:
    """Return the two-sided p-value of a permutation test of equal metrics; swaps `a` and `b` within pairs or queries.

    Ranks are swapped instead of similarities, for Pearson standardised similarities, so that models of different scale
    can be compared. The smallest possible value is 2 / (resamples + 1); it is 1 if a metric is NaN.
    """
    difference = DIFFERENCES[metric.statistic](metric.statistic, gold, a, b)
    with np.errstate(invalid="ignore"):
        observed = difference(np.zeros((1, len(gold))))
    if not np.isfinite(observed).all():
        return 1.0
    rng = np.random.default_rng(seed)
    draws = (rng.integers(2**32, size=size, dtype=np.uint32) for size in chunks(resamples, len(gold)))
    found = np.concatenate([difference((~draw & 1).astype(float)) for draw in draws])
    fewer = min((found <= observed + ROUNDING).sum(), (found >= observed - ROUNDING).sum())
    return min(1.0, 2 * float(fewer + 1) / (resamples + 1))


def _of_correlations(statistic: Statistic, gold: Floats, a: Floats, b: Floats) -> Difference:
    """Return the difference of correlations of ranks (Spearman) or standardised values, from sums that swaps change."""
    prepare = rankdata if statistic is spearman else zscore
    gold, a, b = (prepare(values) for values in (gold, a, b))
    gold, a, b = (values - values.mean() for values in (gold, a, b))
    # what swapping a pair adds to the sums of values, squares and products of `a`, and takes from those of `b`
    changes = np.stack([b - a, b * b - a * a, gold * (b - a)], axis=1)
    first, second = (np.array([0, one @ one, gold @ one]) for one in (a, b))

    def correlation(sums: Floats) -> Floats:
        values, squares, products = np.moveaxis(sums, -1, 0)
        found: Floats = products / np.sqrt((gold @ gold) * (squares - values * values / len(gold)))
        return found

    def difference(swaps: Floats) -> Floats:
        swapped = swaps @ changes
        return correlation(second - swapped) - correlation(first + swapped)

    return difference


def _of_sums(statistic: Statistic, gold: Floats, a: Floats, b: Floats) -> Difference:
    """Return the difference of sums of values, by which means and ratios with the same divisor differ too."""
    return lambda swaps: (1 - 2 * swaps) @ (b - a) / len(gold)


def _of_thresholds(statistic: Statistic, gold: Floats, a: Floats, b: Floats) -> Difference:
    """Return the difference of a statistic of the labels above each threshold of the ranks.

    The ranks of both models are sorted once. What swaps take from one model above a threshold, they give to the other.
    """
    of_counts = OF_COUNTS[statistic]
    ranks = np.concatenate([rankdata(a), rankdata(b)])
    order = np.argsort(-ranks, kind="stable")
    rows, of_second = order % len(gold), order >= len(gold)
    thresholds = np.flatnonzero(np.diff(ranks[order], append=0))
    both = [values.cumsum()[thresholds] for values in (gold[rows], np.ones(len(rows)))]

    def difference(swaps: Floats) -> Floats:
        in_first = (swaps > 0)[:, rows] == of_second
        first = [
            values.cumsum(axis=1, dtype=np.int32)[:, thresholds].astype(np.float64)
            for values in (in_first & (gold[rows] > 0), in_first)
        ]
        return of_counts(*(sums - one for sums, one in zip(both, first, strict=True))) - of_counts(*first)

    return difference


DIFFERENCES: dict[Statistic, Callable[[Statistic, Floats, Floats, Floats], Difference]] = {
    spearman: _of_correlations,
    pearson: _of_correlations,
    mean: _of_sums,
    ratio_of_sums: _of_sums,
    average_precision: _of_thresholds,
    best_f1: _of_thresholds,
}
"""How each statistic of a metric is compared."""
