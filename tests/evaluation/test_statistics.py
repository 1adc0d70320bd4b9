"""Metrics agree with scipy and scikit-learn."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve

from src.evaluation.statistics import (
    UNKNOWN,
    Estimate,
    average_precision,
    best_f1,
    best_threshold,
    holm,
    mean,
    pearson,
    ratio_of_sums,
    spearman,
)

RNG = np.random.default_rng(7)
GOLD = RNG.integers(0, 6, 120) / 5.0
PREDICTED = GOLD + RNG.normal(0, 0.4, 120)


@pytest.mark.parametrize("estimate", [Estimate(0.5, 0.25, 0.75), Estimate(0.5, *UNKNOWN), Estimate(np.nan, *UNKNOWN)])
def test_an_estimate_comes_back_from_its_keys(estimate: Estimate) -> None:
    np.testing.assert_equal(tuple(Estimate.from_dict(estimate.to_dict("x"), "x")), tuple(estimate))
    with pytest.raises(KeyError):
        Estimate.from_dict({"x_low": 1.0}, "x")


def test_correlations_equal_scipys_with_ties() -> None:
    assert spearman(GOLD, PREDICTED) == pytest.approx(spearmanr(GOLD, PREDICTED).statistic, abs=1e-12)
    assert pearson(GOLD, PREDICTED) == pytest.approx(pearsonr(GOLD, PREDICTED).statistic, abs=1e-12)


def test_correlations_take_many_samples_at_once() -> None:
    gold, predicted = np.stack([GOLD, GOLD[::-1]]), np.stack([PREDICTED, PREDICTED])
    expected = [spearman(GOLD, PREDICTED), spearman(GOLD[::-1], PREDICTED)]
    assert spearman(gold, predicted).tolist() == pytest.approx(expected)


def labelled(rng: np.random.Generator, pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and similarities with ties."""
    labels = rng.integers(0, 2, pairs)
    return labels, np.round(labels + rng.normal(0, 0.8, pairs), 1)


@pytest.mark.parametrize("pairs", [2, 7, 120])
def test_classification_metrics_equal_those_of_scikit_learn_with_ties(pairs: int) -> None:
    for seed in range(20):
        labels, predicted = labelled(np.random.default_rng(seed), pairs)
        labels[0] = 1
        assert average_precision(labels, predicted) == pytest.approx(average_precision_score(labels, predicted))
        precision, recall, _ = precision_recall_curve(labels, predicted)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        assert best_f1(labels, predicted) == pytest.approx(f1.max())


def test_the_threshold_of_the_best_f1_is_the_lowest_of_those_with_this_f1() -> None:
    for seed in range(20):
        labels, predicted = labelled(np.random.default_rng(seed), 30)
        labels[0] = 1
        found = best_threshold(labels, predicted)
        taken = predicted >= found.similarity
        assert (found.precision, found.recall) == (labels[taken].mean(), labels[taken].sum() / labels.sum())
        assert found.f1 == best_f1(labels, predicted)
        assert all(f1_score(labels, predicted >= one) < found.f1 for one in predicted[~taken])


@pytest.mark.parametrize("statistic", [average_precision, best_f1, mean, ratio_of_sums])
def test_all_statistics_take_many_samples_at_once(statistic: Callable[..., np.ndarray]) -> None:
    samples = [labelled(np.random.default_rng(seed), 30) for seed in range(6)]
    gold, predicted = (np.stack(each).reshape(2, 3, 30) for each in zip(*samples, strict=True))
    found = statistic(gold, predicted)
    assert found.shape == (2, 3)
    assert found.ravel().tolist() == pytest.approx([float(statistic(*sample)) for sample in samples])


def test_holm_corrects_for_the_number_of_p_values() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == [0.2]
