"""Resamples agree with scipy; intervals cover; memory is bounded."""

import tracemalloc
from collections.abc import Callable
from warnings import catch_warnings

import numpy as np
import pytest
from scipy.stats import bootstrap

import src.evaluation.bootstrap
from src.evaluation.bootstrap import bootstrap_interval, percentile_interval, resample
from src.evaluation.metrics import RETRIEVAL
from src.evaluation.retrieval import retrieval_values
from src.evaluation.statistics import Interval, average_precision, best_f1, mean, pearson, ratio_of_sums, spearman
from tests.evaluation.test_statistics import GOLD, PREDICTED, labelled

STATISTICS = [spearman, pearson, average_precision, best_f1, mean, ratio_of_sums]


@pytest.mark.parametrize("statistic", STATISTICS)
def test_resamples_do_not_depend_on_their_number_at_a_time(
    statistic: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = [labelled(np.random.default_rng(seed), 255) for seed in (8, 9)]
    gold, predicted = samples[0][0], np.stack([values for _, values in samples])
    expected = resample(statistic, gold, predicted, seed=3, resamples=50)
    monkeypatch.setattr(src.evaluation.bootstrap, "CHUNK", 3 * 255)
    for found, value in zip(resample(statistic, gold, predicted, seed=3, resamples=50), expected, strict=True):
        assert found.tolist() == value.tolist()


@pytest.mark.parametrize("statistic", [average_precision, best_f1, mean, ratio_of_sums])
def test_intervals_of_all_statistics_equal_those_of_scipy(statistic: Callable[..., np.ndarray]) -> None:
    labels, predicted = labelled(np.random.default_rng(8), 255)
    drawn = bootstrap(
        (labels, predicted),
        lambda gold, values, axis: statistic(gold, values),
        paired=True,
        n_resamples=500,
        rng=np.random.default_rng(3),
    ).bootstrap_distribution
    found = bootstrap_interval(statistic, labels, predicted, seed=3, resamples=500)
    assert found == pytest.approx(percentile_interval(drawn), abs=1e-12)


def test_interval_holds_the_estimate_and_follows_the_seed() -> None:
    interval = bootstrap_interval(spearman, GOLD, PREDICTED, seed=1)
    assert interval.low < spearman(GOLD, PREDICTED) < interval.high
    assert interval == bootstrap_interval(spearman, GOLD, PREDICTED, seed=1)
    assert interval != bootstrap_interval(spearman, GOLD, PREDICTED, seed=2)


@pytest.mark.parametrize("pairs", [30, 255, 1000])
@pytest.mark.parametrize("statistic", [spearman, pearson])
def test_intervals_equal_those_of_scipy_to_the_last_digit(pairs: int, statistic: Callable[..., np.ndarray]) -> None:
    gold, a, b = two_models(np.random.default_rng(pairs), pairs, 0.4)

    def expected(of: Callable[..., np.ndarray], *scores: np.ndarray) -> Interval:
        drawn = bootstrap(
            scores, lambda *each, axis: of(*each), paired=True, n_resamples=500, rng=np.random.default_rng(3)
        )
        return percentile_interval(drawn.bootstrap_distribution)

    assert bootstrap_interval(statistic, gold, a, seed=3, resamples=500) == expected(statistic, gold, a)
    difference = expected(lambda gold, a, b: statistic(gold, b) - statistic(gold, a), gold, a, b)
    assert difference_interval(statistic, gold, a, b, seed=3, resamples=500) == difference


def difference_interval(
    statistic: Callable[..., np.ndarray], gold: np.ndarray, a: np.ndarray, b: np.ndarray, seed: int, resamples: int
) -> Interval:
    before, after = (resample(statistic, gold, one[None], seed, resamples).trainings for one in (a, b))
    return percentile_interval(after - before)


def test_memory_does_not_grow_with_the_number_of_resamples() -> None:
    gold, a, b = two_models(np.random.default_rng(2), 20_000, 0.4)
    predicted = np.stack([a, b])
    for compute in (
        lambda: bootstrap_interval(spearman, gold, a, seed=1, resamples=500),
        lambda: resample(spearman, gold, predicted, seed=1, resamples=500),
        lambda: resample(pearson, gold, predicted, seed=1, resamples=500),
        lambda: bootstrap_interval(average_precision, gold > 0.5, a, seed=1, resamples=500),
        lambda: bootstrap_interval(best_f1, gold > 0.5, a, seed=1, resamples=500),
    ):
        tracemalloc.start()
        compute()
        assert tracemalloc.get_traced_memory()[1] < 100e6  # all 500 resamples at once: 0.6 to 4 GB
        tracemalloc.stop()


def test_interval_narrows_with_more_pairs() -> None:
    few = bootstrap_interval(spearman, GOLD[:30], PREDICTED[:30], seed=1)
    many = bootstrap_interval(spearman, GOLD, PREDICTED, seed=1)
    assert many.high - many.low < few.high - few.low


def two_models(rng: np.random.Generator, pairs: int, second_noise: float) -> list[np.ndarray]:
    """Gold scores with ties, and two models' scores that share a part of their error."""
    gold = rng.integers(0, 36, pairs) / 35
    shared = rng.normal(0, 0.25, pairs)
    return [gold, *(gold + shared + rng.normal(0, noise, pairs) for noise in (0.15, second_noise))]


@pytest.mark.parametrize("statistic", [spearman, pearson])
def test_coverage_of_the_95_percent_interval(statistic: Callable[..., np.ndarray]) -> None:
    truth = float(statistic(*two_models(np.random.default_rng(0), 1_000_000, 0.4)[:2]))
    rng = np.random.default_rng(5)
    samples = [two_models(rng, 255, 0.4)[:2] for _ in range(400)]
    intervals = [
        bootstrap_interval(statistic, *sample, seed=seed, resamples=300) for seed, sample in enumerate(samples)
    ]
    assert 0.93 <= np.mean([low <= truth <= high for low, high in intervals]) <= 0.97


def rankings(rng: np.random.Generator, queries: int, *skills: float) -> tuple[np.ndarray, ...]:
    """Values of each retrieval metric for queries with one to three right answers, shape (skills, metrics, queries).

    The ranks of two models share a part of their error, and a tenth of the answers is among no first ten.
    """
    counts = rng.integers(1, 4, queries)
    shared = rng.exponential(1.0, (queries, 3))
    found = []
    for skill in skills:
        ranks = 1 + np.floor(shared + rng.exponential(1 / skill, (queries, 3))) + 10 * (rng.random((queries, 3)) < 0.1)
        ranks = np.sort(np.where(np.arange(3) < counts[:, None], ranks, np.inf), axis=1)
        ranks += np.arange(3)  # no two answers have the same rank
        found.append(np.stack(list(retrieval_values(ranks, counts).values())))
    return tuple(found)


def test_coverage_of_the_intervals_of_all_retrieval_metrics_and_of_their_differences() -> None:
    names, trials = [metric.name for metric in RETRIEVAL], 1000
    first, second = (values.mean(axis=1) for values in rankings(np.random.default_rng(0), 400_000, 1.0, 0.5))
    truth, rng = np.concatenate([first, second - first]), np.random.default_rng(5)
    covered = np.zeros(2 * len(names))
    for seed in range(trials):
        values = np.concatenate(rankings(rng, 100, 1.0, 0.5))
        drawn = resample(mean, values[0], values, seed, resamples=400).trainings
        drawn[:, len(names) :] -= drawn[:, : len(names)]
        low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
        covered += (low <= truth) & (truth <= high)
    assert np.all(np.abs(covered / trials - 0.95) <= 0.02), dict(zip(names * 2, covered / trials, strict=True))


def test_coverage_of_the_interval_of_triplet_accuracy() -> None:
    def triplets(rng: np.random.Generator, anchors: int) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of triplets of each anchor, and of correct ones, of which some anchors have more than others."""
        counts = rng.integers(1, 6, anchors)
        return counts.astype(float), rng.binomial(counts, rng.beta(4, 1, anchors)).astype(float)

    truth = 4 / 5
    rng = np.random.default_rng(5)
    samples = [triplets(rng, 200) for _ in range(500)]
    intervals = [bootstrap_interval(ratio_of_sums, *each, seed, resamples=300) for seed, each in enumerate(samples)]
    assert 0.93 <= np.mean([low <= truth <= high for low, high in intervals]) <= 0.97


def test_coverage_of_the_interval_of_a_mean_over_three_trainings() -> None:
    truth = float(spearman(*two_models(np.random.default_rng(0), 1_000_000, 0.4)[:2]))
    rng = np.random.default_rng(6)

    def interval(seed: int) -> Interval:
        gold, shared = rng.integers(0, 36, 255) / 35, rng.normal(0, 0.25, 255)
        predicted = gold + shared + rng.normal(0, 0.15, (3, 255))
        return percentile_interval(resample(spearman, gold, predicted, seed, resamples=100).means)

    assert 0.93 <= np.mean([low <= truth <= high for low, high in map(interval, range(400))]) <= 0.97


def test_resamples_without_a_correlation_are_left_out() -> None:
    gold = np.array([0.0, 0.0, 0.0, 0.0, 1.0])
    with catch_warnings(action="error"):
        low, high = bootstrap_interval(spearman, gold, np.array([0.1, 0.2, 0.3, 0.4, 0.5]), seed=1)
    assert -1 <= low < high <= 1


@pytest.mark.parametrize("second_noise", [0.15, 0.4])
def test_coverage_of_the_interval_of_a_difference(second_noise: float) -> None:
    truth_of = two_models(np.random.default_rng(0), 1_000_000, second_noise)
    truth = float(spearman(truth_of[0], truth_of[2]) - spearman(truth_of[0], truth_of[1]))
    rng, trials = np.random.default_rng(11), 400
    intervals = [
        difference_interval(spearman, *two_models(rng, 120, second_noise), seed=trial, resamples=300)
        for trial in range(trials)
    ]
    assert 0.93 <= np.mean([low <= truth <= high for low, high in intervals]) <= 0.97
