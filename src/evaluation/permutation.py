"""Paired permutation test of the difference between two models in any metric."""

from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata, zscore

from src.evaluation.metrics import Metric
from src.evaluation.statistics import (
    ROUNDING,
    SAMPLING,
    Floats,
    Statistic,
    average_precision,
    best_f1,
    chunks,
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
    can be compared. The smallest possible value is 2 / (resamples + 1).
    """
    difference = DIFFERENCES[metric.statistic](metric.statistic, gold, a, b)
    rng = np.random.default_rng(seed)
    draws = (rng.integers(2**32, size=size, dtype=np.uint32) for size in chunks(resamples, len(gold)))
    found = np.concatenate([difference((~draw & 1).astype(float)) for draw in draws])
    observed = difference(np.zeros((1, len(gold))))
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


def _of_orders(statistic: Statistic, gold: Floats, a: Floats, b: Floats) -> Difference:
    """Return the difference of a statistic of labels that depends on the order of the similarities only."""
    of_codes = SAMPLING[statistic].compute
    a, b = ((2 * rankdata(values)).astype(np.int64) for values in (a, b))  # ranks of ties are halves

    def difference(swaps: Floats) -> Floats:
        labels = np.broadcast_to(gold, swaps.shape)
        first, second = (np.where(swaps > 0, other, one) for one, other in ((a, b), (b, a)))
        found: Floats = of_codes(labels, second) - of_codes(labels, first)
        return found

    return difference


DIFFERENCES: dict[Statistic, Callable[[Statistic, Floats, Floats, Floats], Difference]] = {
    spearman: _of_correlations,
    pearson: _of_correlations,
    mean: _of_sums,
    ratio_of_sums: _of_sums,
    average_precision: _of_orders,
    best_f1: _of_orders,
}
"""How each statistic of a metric is compared."""
