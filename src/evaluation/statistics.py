"""Metrics as functions of arrays, bootstrap confidence intervals and Holm correction."""

import logging
from collections.abc import Callable, Iterator
from math import isnan, nan
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

log = logging.getLogger(__name__)

CHUNK = 400_000
"""Resampled rows at a time: bounds memory at 100 MB or at 0.1 GB for each million rows, and fits the CPU's cache."""
LONG = 500_000_000
"""Resampled rows in all, from which a computation takes more than about 15 s and is announced."""
ROUNDING = 1e-12
"""Differences between correlations up to this size count as equal."""

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Statistic = Callable[[Floats, Floats], Floats]
"""A function of gold scores and predictions, computed along their last axis."""


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float

    def __str__(self) -> str:
        """Return the interval as `[0.8404, 0.9056]`."""
        return f"[{self.low:.4f}, {self.high:.4f}]"


UNKNOWN = Interval(nan, nan)


class Estimate(NamedTuple):
    """A value with the ends of its 95 % confidence interval, NaN if it is not known."""

    value: float
    low: float
    high: float

    @property
    def interval(self) -> Interval:
        """The confidence interval."""
        return Interval(self.low, self.high)

    def __str__(self) -> str:
        """Return the estimate as `0.8785 [0.8404, 0.9056]`, without an interval that is not known."""
        return f"{self.value:.4f}" if isnan(self.low) else f"{self.value:.4f} {self.interval}"

    def to_dict(self, name: str) -> dict[str, float]:
        """Return the keys `name`, `name_low` and `name_high`; without the latter if the interval is not known."""
        ends = {} if isnan(self.low) else {f"{name}_low": self.low, f"{name}_high": self.high}
        return {name: self.value, **ends}

    @classmethod
    def from_dict(cls, values: dict[str, Any], name: str) -> Self:
        """Return the estimate under the keys `name`, `name_low` and `name_high`; raise `KeyError` for a missing one."""
        return cls(*(float(values[f"{name}{end}"]) for end in ("", "_low", "_high")))


def pearson(x: Floats, y: Floats) -> Floats:
    """Return Pearson's correlation along the last axis, vectorised over the others, such as resamples."""
    x = x - x.mean(axis=-1, keepdims=True)
    y = y - y.mean(axis=-1, keepdims=True)
    scale = np.sqrt((x * x).sum(axis=-1) * (y * y).sum(axis=-1))
    correlation: Floats = (x * y).sum(axis=-1) / scale
    return correlation


def spearman(x: Floats, y: Floats) -> Floats:
    """Return Spearman's rank correlation along the last axis; ties get their mean rank."""
    return pearson(rankdata(x, axis=-1), rankdata(y, axis=-1))


def mean(gold: Floats, predicted: Floats) -> Floats:
    """Return the mean of the predicted values along the last axis."""
    found: Floats = predicted.mean(axis=-1)
    return found


def ratio_of_sums(gold: Floats, predicted: Floats) -> Floats:
    """Return the sum of the predicted values divided by that of the gold values, along the last axis."""
    found: Floats = predicted.sum(axis=-1) / gold.sum(axis=-1)
    return found


def average_precision(gold: Floats, predicted: Floats) -> Floats:
    """Return the average precision of labels 0 and 1 ranked by similarity, along the last axis; NaN without a 1."""
    return average_precision_of(*_above(gold, _codes(predicted)))


def best_f1(gold: Floats, predicted: Floats) -> Floats:
    """Return the highest F1 of labels 0 and 1 over all thresholds of similarity, along the last axis."""
    return best_f1_of(*_above(gold, _codes(predicted)))


def average_precision_of(right: Floats, taken: Floats) -> Floats:
    """Return the average precision, given the number of labels 1 and of all labels above each threshold."""
    found: Floats = (np.diff(right, prepend=0) * right / np.maximum(taken, 1)).sum(axis=-1) / right[..., -1]
    return found


def best_f1_of(right: Floats, taken: Floats) -> Floats:
    """Return the highest F1, given the number of labels 1 and of all labels above each threshold."""
    found: Floats = (2 * right / (taken + right[..., -1:])).max(axis=-1)
    return found


def _codes(values: Floats) -> Rows:
    """Return whole numbers from 0 in the order of the values along the last axis, equal ones for equal values."""
    found: Rows = rankdata(values, method="dense", axis=-1).astype(np.int64) - 1
    return found


def _above(gold: Floats, codes: Rows) -> tuple[Floats, Floats]:
    """Return the number of labels 1, and of all, at each code and above it along the last axis, the highest first."""
    width, shape = int(codes.max()) + 1, codes.shape[:-1]
    cells = (codes + width * np.arange(int(np.prod(shape))).reshape(*shape, 1)).ravel()
    counts = [np.bincount(cells, weights, width * int(np.prod(shape))) for weights in (gold.ravel(), None)]
    right, taken = (count.reshape(*shape, width)[..., ::-1].cumsum(axis=-1, dtype=np.float64) for count in counts)
    return right, taken


def tie_ceiling(gold: Floats) -> float:
    """Return the highest Spearman that predictions without ties can have: that of predictions in the order of `gold`.

    The order within ties does not matter: sqrt(1 - sum(t^3 - t) / (n^3 - n)), summed over groups of t ties among n
    values (tie correction of Kendall, 1945). Similarities of a model have practically no ties.
    """
    ties = np.unique(gold, return_counts=True)[1].astype(float)
    count = float(len(gold))
    return float(np.sqrt(1 - (ties**3 - ties).sum() / (count**3 - count)))


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
    rng = np.random.default_rng(seed)
    drawn = _bootstrap(statistic, gold, predicted, rng, resamples)
    trainings = len(predicted)
    weights = rng.multinomial(trainings, np.full(trainings, 1 / trainings), size=resamples) / trainings
    return Resamples(drawn, (drawn * weights).sum(axis=1))


def _bootstrap(
    statistic: Statistic, gold: Floats, predicted: Floats, rng: np.random.Generator, resamples: int
) -> Floats:
    """Return a statistic of `gold` and each training on resampled rows, shape (resamples, trainings)."""
    sampling = SAMPLING.get(statistic, Sampling(_sample_values, _sample_values, statistic))
    sample_gold, samples = sampling.gold(gold), [sampling.predicted(one) for one in predicted]
    found = []
    with np.errstate(invalid="ignore"):  # a resample with constant scores has no correlation
        for size in chunks(resamples, len(gold), len(predicted)):
            rows = rng.integers(len(gold), size=size)
            drawn = sample_gold(rows)
            found.append(np.stack([sampling.compute(drawn, each(rows)) for each in samples], axis=1))
    return np.concatenate(found)


def chunks(resamples: int, rows: int, trainings: int = 1) -> Iterator[tuple[int, int]]:
    """Yield the shapes of consecutive groups of resamples; random numbers drawn in groups are those drawn at once."""
    if resamples * rows * trainings > LONG:
        log.info(f"computing {resamples:,} resamples of {rows:,} rows{f' for {trainings} seeds' * (trainings > 1)}")
    each = max(1, CHUNK // rows)
    for first in range(0, resamples, each):
        yield min(each, resamples - first), rows


def _sample_values(values: Floats) -> Callable[[Rows], Floats]:
    """Return a function that returns the values at each of several rows of indices."""
    return lambda rows: values[rows]


def _sample_ranks(values: Floats) -> Callable[[Rows], Floats]:
    """Return a function that returns the mean ranks within each of several rows of indices into `values`.

    The values are sorted only once, and counted in each row, which is 7 times as fast for 100,000 pairs as sorting.
    """
    distinct, codes = np.unique(values, return_inverse=True)

    def ranks(rows: Rows) -> Floats:
        drawn = codes[rows]
        cells = (drawn + len(distinct) * np.arange(len(rows))[:, None]).ravel()
        counts = np.bincount(cells, minlength=len(rows) * len(distinct)).reshape(len(rows), -1)
        found: Floats = np.take_along_axis(counts.cumsum(axis=1) - (counts - 1) / 2, drawn, axis=1)
        return found

    return ranks


def _sample_codes(values: Floats) -> Callable[[Rows], Rows]:
    """Return a function that returns the codes of the values at each of several rows of indices."""
    codes = _codes(values)
    return lambda rows: codes[rows]


class Sampling(NamedTuple):
    """How a statistic is computed on many resamples: from what is drawn of gold and predicted values."""

    gold: Callable[[Floats], Callable[[Rows], Any]]
    """Returns a function of rows of indices."""
    predicted: Callable[[Floats], Callable[[Rows], Any]]
    compute: Callable[[Any, Any], Floats]
    """The statistic of what is drawn, along the last axis."""


SAMPLING: dict[Statistic, Sampling] = {
    spearman: Sampling(_sample_ranks, _sample_ranks, pearson),
    average_precision: Sampling(
        _sample_values, _sample_codes, lambda gold, codes: average_precision_of(*_above(gold, codes))
    ),
    best_f1: Sampling(_sample_values, _sample_codes, lambda gold, codes: best_f1_of(*_above(gold, codes))),
}
"""Statistics that depend on the order of the predictions only, which is determined once."""


def percentile_interval(values: Floats) -> Interval:
    """Return the 95 % percentile interval of bootstrap values, without NaN (from resamples with constant scores)."""
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return Interval(float(low), float(high))


def holm(p_values: list[float]) -> list[float]:
    """Return the p-values corrected for multiple comparisons (Holm, 1979), in the same order."""
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(np.asarray(p_values)[order] * factors), 1)
    return [float(value) for value in corrected]
