"""Bootstrap of statistics over pairs or queries, and the confidence intervals that follow."""

import logging
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from src.evaluation.statistics import (
    OF_COUNTS,
    UNKNOWN,
    Floats,
    Interval,
    Rows,
    Statistic,
    average_precision,
    best_f1,
    counts_above,
    label_codes,
    pearson,
    spearman,
)

log = logging.getLogger(__name__)

CHUNK = 100_000
"""Resampled rows at a time: bounds memory at 50 MB or at 0.1 GB for each million rows, and fits the CPU's cache."""
LONG = 500_000_000
"""Resampled rows in all, from which a computation takes more than about 10 s and is announced."""

Sampler = Callable[[Rows], Floats]
"""A function of rows of indices, each row a resample: a statistic on them, shape (resamples, trainings)."""


def bootstrap_interval(
    statistic: Statistic, gold: Floats, predicted: Floats, seed: int, resamples: int = 2000
) -> Interval:
    """Return the 95 % percentile bootstrap interval of a statistic over resampled rows (Efron, 1979).

    `statistic` takes `gold` and `predicted`, both of shape (rows,), pairs or queries, which are resampled jointly.
    """
    return percentile_interval(resample(statistic, gold, predicted[None], seed, resamples).trainings[:, 0])


class Resamples(NamedTuple):
    """Bootstrap values of a statistic of several trainings of one recipe."""

    trainings: Floats
    """Each training on resampled rows, shape (resamples, trainings)."""
    means: Floats
    """Means over resampled trainings, on the same resampled rows, shape (resamples,)."""


def resample(statistic: Statistic, gold: Floats, predicted: Floats, seed: int, resamples: int = 2000) -> Resamples:
    """Return a statistic of `gold` of shape (rows,) and `predicted` of shape (trainings, rows) on resampled rows.

    Rows are pairs or queries. The same `seed` resamples them in the same way for every recipe, so that differences are
    paired. Means resample rows and trainings together, so that their spread covers both the choice of the rows and the
    variance between seeds, the latter reduced by (n - 1) / n for n trainings.
    """
    trainings, rng = len(predicted), np.random.default_rng(seed)
    sizes = chunks(resamples, len(gold), trainings)
    sample = SAMPLERS.get(statistic, _of_values)(statistic, gold, predicted)
    with np.errstate(invalid="ignore"):  # a resample with constant scores has no correlation
        drawn = np.concatenate([sample(rng.integers(len(gold), size=size)) for size in sizes])
    weights = rng.multinomial(trainings, np.full(trainings, 1 / trainings), size=resamples) / trainings
    return Resamples(drawn, (drawn * weights).sum(axis=1))


def chunks(resamples: int, rows: int, trainings: int = 1) -> Iterator[tuple[int, int]]:
    """Yield the shapes of consecutive groups of resamples; random numbers drawn in groups are those drawn at once."""
    if resamples * rows * trainings > LONG:
        log.info(f"computing {resamples:,} resamples of {rows:,} rows{f' for {trainings} seeds' * (trainings > 1)}")
    # glibc keeps up to twice the size of the largest array freed so far, here 48 MB, for the next arrays; otherwise the
    # system takes the memory back and clears it for every group, which is more than half of the time
    np.empty(30 * CHUNK)
    each = max(1, CHUNK // rows)
    for first in range(0, resamples, each):
        yield min(each, resamples - first), rows


def _of_values(statistic: Statistic, gold: Floats, predicted: Floats) -> Sampler:
    """Return a statistic of the values themselves."""

    def sample(rows: Rows) -> Floats:
        drawn = gold[rows]
        return np.stack([statistic(drawn, one[rows]) for one in predicted], axis=1)

    return sample


def _of_ranks(statistic: Statistic, gold: Floats, predicted: Floats) -> Sampler:
    """Return Spearman's correlation, for which the values are sorted only once."""
    ranks_of_gold, *ranks = (_sample_ranks(values) for values in (gold, *predicted))

    def sample(rows: Rows) -> Floats:
        drawn = ranks_of_gold(rows)
        return np.stack([pearson(drawn, each(rows)) for each in ranks], axis=1)

    return sample


def _sample_ranks(values: Floats) -> Callable[[Rows], Floats]:
    """Return a function that returns the mean ranks within each of several rows of indices into `values`.

    The values are counted in each row, which is 7 times as fast for 100,000 pairs as sorting.
    """
    distinct, codes = np.unique(values, return_inverse=True)

    def ranks(rows: Rows) -> Floats:
        cells = codes[rows] + len(distinct) * np.arange(len(rows))[:, None]
        counts = np.bincount(cells.ravel(), minlength=len(rows) * len(distinct)).reshape(len(rows), -1)
        found: Floats = (counts.cumsum(axis=1) - (counts - 1) / 2).take(cells)
        return found

    return ranks


def _of_labels(statistic: Statistic, gold: Floats, predicted: Floats) -> Sampler:
    """Return a statistic of the labels above each similarity, for which the similarities are sorted only once."""
    of_counts, codes = OF_COUNTS[statistic], [label_codes(gold, one) for one in predicted]
    return lambda rows: np.stack([of_counts(*counts_above(one[rows], int(one.max()))) for one in codes], axis=1)


SAMPLERS: dict[Statistic, Callable[[Statistic, Floats, Floats], Sampler]] = {
    spearman: _of_ranks,
    average_precision: _of_labels,
    best_f1: _of_labels,
}
"""Samplers of statistics that depend on the order of the predictions only; `_of_values` for all others."""


def percentile_interval(values: Floats) -> Interval:
    """Return the 95 % percentile interval of bootstrap values, without NaN (from resamples with constant scores)."""
    if np.isnan(values).all():
        return UNKNOWN
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return Interval(float(low), float(high))
