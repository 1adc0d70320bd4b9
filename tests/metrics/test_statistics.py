"""Correlations agree with scipy; intervals cover."""

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from src.metrics.statistics import bootstrap_interval, pearson, spearman

RNG = np.random.default_rng(7)
GOLD = RNG.integers(0, 6, 120) / 5.0
PREDICTED = GOLD + RNG.normal(0, 0.4, 120)


def test_correlations_equal_scipys_with_ties() -> None:
    assert spearman(GOLD, PREDICTED) == pytest.approx(spearmanr(GOLD, PREDICTED).statistic, abs=1e-12)
    assert pearson(GOLD, PREDICTED) == pytest.approx(pearsonr(GOLD, PREDICTED).statistic, abs=1e-12)


def test_correlations_take_many_samples_at_once() -> None:
    gold, predicted = np.stack([GOLD, GOLD[::-1]]), np.stack([PREDICTED, PREDICTED])
    expected = [spearman(GOLD, PREDICTED), spearman(GOLD[::-1], PREDICTED)]
    assert spearman(gold, predicted).tolist() == pytest.approx(expected)


def test_interval_holds_the_estimate_and_follows_the_seed() -> None:
    interval = bootstrap_interval(spearman, GOLD, PREDICTED, seed=1)
    assert interval.low < spearman(GOLD, PREDICTED) < interval.high
    assert interval == bootstrap_interval(spearman, GOLD, PREDICTED, seed=1)
    assert interval != bootstrap_interval(spearman, GOLD, PREDICTED, seed=2)


def test_interval_narrows_with_more_pairs() -> None:
    few = bootstrap_interval(spearman, GOLD[:30], PREDICTED[:30], seed=1)
    many = bootstrap_interval(spearman, GOLD, PREDICTED, seed=1)
    assert many.high - many.low < few.high - few.low


def test_coverage_of_the_95_percent_interval() -> None:
    """Of 300 samples of a population with known correlation, about 95 % must have it in their interval."""
    rng, truth = np.random.default_rng(5), 0.8
    covered = 0
    for trial in range(300):
        x, noise = rng.normal(size=(2, 150))
        y = truth * x + np.sqrt(1 - truth**2) * noise
        interval = bootstrap_interval(pearson, x, y, seed=trial, resamples=400)
        covered += interval.low <= truth <= interval.high
    assert 0.92 <= covered / 300 <= 0.98
