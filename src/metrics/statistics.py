"""What a score on a few hundred pairs can and cannot tell."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, rankdata

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


def pearson(x: Floats, y: Floats, axis: int = -1) -> Floats:
    """Return Pearson's correlation along an axis; unlike scipy's it takes many resamples at once."""
    x = x - x.mean(axis=axis, keepdims=True)
    y = y - y.mean(axis=axis, keepdims=True)
    scale = np.sqrt((x * x).sum(axis=axis) * (y * y).sum(axis=axis))
    correlation: Floats = (x * y).sum(axis=axis) / scale
    return correlation


def spearman(x: Floats, y: Floats, axis: int = -1) -> Floats:
    """Return Spearman's rank correlation along an axis, ties at their mean rank."""
    return pearson(rankdata(x, axis=axis), rankdata(y, axis=axis), axis=axis)


def tie_ceiling(gold: Floats) -> float:
    """Return the Spearman with `gold` of scores that order all pairs as it does, but without its ties.

    It is the same however its ties are broken: sqrt(1 - sum(t^3 - t) / (n^3 - n)) over groups of t tied among n values
    (the tie correction of Kendall, 1945). A model's scores have no ties, so that it can hardly do better.
    """
    ties = np.unique(gold, return_counts=True)[1].astype(float)
    count = float(len(gold))
    return float(np.sqrt(1 - (ties**3 - ties).sum() / (count**3 - count)))


def bootstrap_interval(
    statistic: Callable[..., Floats],
    gold: Floats,
    predicted: Floats,
    seed: int,
    level: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Return the percentile bootstrap interval of a correlation over resampled pairs (Efron, 1979).

    `statistic` is `spearman` or `pearson`; both arrays have shape (pairs,).
    """
    result = bootstrap(
        (gold, predicted),
        statistic,
        paired=True,
        vectorized=True,
        n_resamples=resamples,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return Interval(float(result.confidence_interval.low), float(result.confidence_interval.high))
