"""Metrics as functions of arrays, estimates with intervals, and Holm correction."""

from collections.abc import Callable
from math import isnan, nan
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

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


ENDS = ("_low", "_high")
"""What the keys of the ends of an interval have after the name of the value."""


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
        ends = {} if isnan(self.low) else dict(zip((f"{name}{end}" for end in ENDS), self.interval, strict=True))
        return {name: self.value, **ends}

    @classmethod
    def from_dict(cls, values: dict[str, Any], name: str) -> Self:
        """Return the estimate under the keys of `to_dict`, null for NaN; raise `KeyError` if there is no value."""
        found = [values[name], *(values.get(f"{name}{end}") for end in ENDS)]
        return cls(*(nan if value is None else float(value) for value in found))


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
    return average_precision_of(*_counts(gold, predicted))


def best_f1(gold: Floats, predicted: Floats) -> Floats:
    """Return the highest F1 of labels 0 and 1 over all thresholds of similarity, along the last axis."""
    return best_f1_of(*_counts(gold, predicted))


def average_precision_of(right: Floats, taken: Floats) -> Floats:
    """Return the average precision, given the number of labels 1 and of all labels above each threshold."""
    found: Floats = (np.diff(right, prepend=0) * right / np.maximum(taken, 1)).sum(axis=-1) / right[..., -1]
    return found


def best_f1_of(right: Floats, taken: Floats) -> Floats:
    """Return the highest F1, given the number of labels 1 and of all labels above each threshold."""
    found: Floats = _f1_of(right, taken).max(axis=-1)
    return found


OF_COUNTS: dict[Statistic, Statistic] = {average_precision: average_precision_of, best_f1: best_f1_of}
"""Statistics of labels, as functions of what `counts_above` returns."""


def _f1_of(right: Floats, taken: Floats) -> Floats:
    return 2 * right / (taken + right[..., -1:])


class Threshold(NamedTuple):
    """A similarity from which on pairs count as having label 1, and how right that is."""

    similarity: float
    precision: float
    recall: float
    f1: float


def best_threshold(gold: Floats, predicted: Floats) -> Threshold:
    """Return the lowest threshold of similarity with the highest F1 of label 1."""
    right, taken = _counts(gold, predicted)
    f1 = _f1_of(right, taken)
    best = int(np.flatnonzero(f1 == f1.max())[-1])
    found = np.unique(predicted)[::-1][best], right[best] / taken[best], right[best] / right[-1], f1[best]
    return Threshold(*map(float, found))


def _counts(gold: Floats, predicted: Floats) -> tuple[Floats, Floats]:
    codes = label_codes(gold, predicted)
    return counts_above(codes, int(codes.max()))


def label_codes(gold: Floats, predicted: Floats) -> Rows:
    """Return whole numbers that order similarities along the last axis, the highest first: even for 0, odd for 1."""
    codes: Rows = 2 * rankdata(-predicted, method="dense", axis=-1).astype(np.int64) - 2 + gold.astype(np.int64)
    return codes


def counts_above(codes: Rows, last: int) -> tuple[Floats, Floats]:
    """Return the number of labels 1, and of all, at each similarity and above it along the last axis.

    `codes` are some of those of `label_codes`, of which `last` is the highest. The highest similarity comes first.
    """
    samples, width = codes.reshape(-1, codes.shape[-1]), last // 2 * 2 + 2
    cells = samples + width * np.arange(len(samples))[:, None]
    counts = np.bincount(cells.ravel(), minlength=width * len(samples)).reshape(*codes.shape[:-1], -1, 2)
    wrong, right = np.moveaxis(counts, -1, 0)
    return right.cumsum(axis=-1).astype(np.float64), (wrong + right).cumsum(axis=-1).astype(np.float64)


def tie_ceiling(gold: Floats) -> float:
    """Return the highest Spearman that predictions without ties can have: that of predictions in the order of `gold`.

    The order within ties does not matter: sqrt(1 - sum(t^3 - t) / (n^3 - n)), summed over groups of t ties among n
    values (tie correction of Kendall, 1945). Similarities of a model have practically no ties.
    """
    ties = np.unique(gold, return_counts=True)[1].astype(float)
    count = float(len(gold))
    return float(np.sqrt(1 - (ties**3 - ties).sum() / (count**3 - count)))


def holm(p_values: list[float]) -> list[float]:
    """Return the p-values corrected for multiple comparisons (Holm, 1979), in the same order."""
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(np.asarray(p_values)[order] * factors), 1)
    return [float(value) for value in corrected]
