"""Correlations, bootstrap confidence intervals, paired permutation tests and Holm correction."""

from collections.abc import Callable
from typing import Any, NamedTuple, Self
from warnings import catch_warnings

import numpy as np
from scipy.stats import DegenerateDataWarning, bootstrap, permutation_test, rankdata

from src.evaluation.metrics import Floats


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float

    def __str__(self) -> str:
        """Return the interval as `[0.8404, 0.9056]`."""
        return f"[{self.low:.4f}, {self.high:.4f}]"


class Estimate(NamedTuple):
    """A value with the ends of its 95 % confidence interval."""

    value: float
    low: float
    high: float

    @property
    def interval(self) -> Interval:
        """The confidence interval."""
        return Interval(self.low, self.high)

    def __str__(self) -> str:
        """Return the estimate as `0.8785 [0.8404, 0.9056]`."""
        return f"{self.value:.4f} {self.interval}"

    def to_dict(self, name: str) -> dict[str, float]:
        """Return the keys `name`, `name_low` and `name_high`."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}

    @classmethod
    def from_dict(cls, values: dict[str, Any], name: str) -> Self:
        """Return the estimate under the keys `name`, `name_low` and `name_high`; raise `KeyError` for a missing one."""
        return cls(*(float(values[f"{name}{end}"]) for end in ("", "_low", "_high")))


def pearson(x: Floats, y: Floats, axis: int = -1) -> Floats:
    """Return Pearson's correlation along an axis, vectorised over the others, such as resamples."""
    x = x - x.mean(axis=axis, keepdims=True)
    y = y - y.mean(axis=axis, keepdims=True)
    scale = np.sqrt((x * x).sum(axis=axis) * (y * y).sum(axis=axis))
    correlation: Floats = (x * y).sum(axis=axis) / scale
    return correlation


def spearman(x: Floats, y: Floats, axis: int = -1) -> Floats:
    """Return Spearman's rank correlation along an axis; ties get their mean rank."""
    return pearson(rankdata(x, axis=axis), rankdata(y, axis=axis), axis=axis)


def tie_ceiling(gold: Floats) -> float:
    """Return the highest Spearman that predictions without ties can have: that of predictions in the order of `gold`.

    The order within ties does not matter: sqrt(1 - sum(t^3 - t) / (n^3 - n)), summed over groups of t ties among n
    values (tie correction of Kendall, 1945). Similarities of a model have practically no ties.
    """
    ties = np.unique(gold, return_counts=True)[1].astype(float)
    count = float(len(gold))
    return float(np.sqrt(1 - (ties**3 - ties).sum() / (count**3 - count)))


def bootstrap_interval(
    statistic: Callable[..., Floats], gold: Floats, *predicted: Floats, seed: int, resamples: int = 2000
) -> Interval:
    """Return the 95 % percentile bootstrap interval of a statistic over resampled pairs (Efron, 1979).

    `statistic` takes `gold` and each of `predicted`, all of shape (pairs,), and an `axis`; pairs are resampled jointly.
    """
    with np.errstate(invalid="ignore"), catch_warnings(category=DegenerateDataWarning, action="ignore"):
        result = bootstrap(
            (gold, *predicted),
            statistic,
            paired=True,
            vectorized=True,
            n_resamples=resamples,
            method="percentile",
            rng=np.random.default_rng(seed),
        )
    return percentile_interval(result.bootstrap_distribution)


def spearman_difference(gold: Floats, a: Floats, b: Floats, axis: int = -1) -> Floats:
    """Return spearman(gold, b) - spearman(gold, a) along an axis."""
    return spearman(gold, b, axis) - spearman(gold, a, axis)


def resampled_means(
    statistic: Callable[..., Floats], gold: Floats, predicted: Floats, seed: int, resamples: int = 2000
) -> Floats:
    """Return bootstrap means of a correlation over several trainings of one recipe, shape (resamples,).

    `gold` has shape (pairs,), `predicted` (trainings, pairs). Pairs and trainings are resampled together, so that the
    spread covers both the choice of the pairs and the variance between seeds. The same `seed` resamples every recipe in
    the same way.
    """
    rng = np.random.default_rng(seed)
    trainings, pairs = predicted.shape
    rows = rng.integers(pairs, size=(resamples, pairs))
    weights = rng.multinomial(trainings, np.full(trainings, 1 / trainings), size=resamples) / trainings
    by_training = np.stack([statistic(gold[rows], one[rows]) for one in predicted], axis=1)
    means: Floats = (by_training * weights).sum(axis=1)
    return means


def percentile_interval(values: Floats) -> Interval:
    """Return the 95 % percentile interval of bootstrap values, without NaN (from resamples with constant scores)."""
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return Interval(float(low), float(high))


def permutation_p_value(gold: Floats, a: Floats, b: Floats, seed: int, resamples: int = 4999) -> float:
    """Return the two-sided p-value of a permutation test of equal Spearman with `gold`; swaps `a` and `b` within pairs.

    Ranks are swapped instead of similarities, as Spearman depends on ranks only, so that models of different scale can
    be compared. The smallest possible value is 2 / (resamples + 1).
    """
    ranked = rankdata(gold)

    def difference(a: Floats, b: Floats, axis: int = -1) -> Floats:
        return pearson(ranked, b, axis) - pearson(ranked, a, axis)

    result = permutation_test(
        (rankdata(a), rankdata(b)),
        difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def holm(p_values: list[float]) -> list[float]:
    """Return the p-values corrected for multiple comparisons (Holm, 1979), in the same order."""
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(np.asarray(p_values)[order] * factors), 1)
    return [float(value) for value in corrected]
