"""Differences between recipes with several seeds: error rate, coverage, and agreement of interval and p-value."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind

from src.evaluation.bootstrap import Resamples
from src.evaluation.metrics import Metric, metrics_of
from src.evaluation.seeds import SeedScores, difference_over_seeds, gain_over_seeds, seed_scores
from src.evaluation.statistics import Estimate, spearman

TRIALS = 400
CORRELATION = Metric("spearman_cosine", "Spearman", spearman)


def trainings(
    rng: np.random.Generator, pairs: int, counts: tuple[int, int], deviation: float, own: float, worse: float = 0.0
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Gold scores and predictions of two recipes, whose errors are shared in part.

    `deviation` of the errors' scale between seeds; `own`: errors of a recipe on all its seeds; `worse`: further errors
    of the second recipe.
    """
    gold, shared = rng.integers(0, 36, pairs) / 35, rng.normal(0, 0.25, pairs)
    predicted = []
    for count, more in zip(counts, (0.0, worse), strict=True):
        scale = 1 + more + deviation * rng.standard_normal((count, 1))
        errors = shared + rng.normal(0, own, pairs) + rng.normal(0, 0.15, (count, pairs))
        predicted.append(gold + scale * errors)
    return gold, predicted


def differences(trials: int, *given: object) -> Iterator[tuple[Estimate, float]]:
    rng = np.random.default_rng(1)
    for trial in range(trials):
        gold, predicted = trainings(rng, 100, *given)  # type: ignore[arg-type]
        tables = [[pd.DataFrame({"gold": gold, "predicted": seed}) for seed in recipe] for recipe in predicted]
        yield difference_over_seeds(*(seed_scores(CORRELATION, one, trial, resamples=100) for one in tables))


@pytest.mark.parametrize(
    ("counts", "deviation", "own"),
    [
        pytest.param((3, 3), 0.0, 0.1, id="seeds hardly matter"),
        pytest.param((3, 3), 0.1, 0.1, id="seeds matter as much as pairs"),
        pytest.param((3, 3), 0.3, 0.0, id="seeds matter most"),
        pytest.param((5, 3), 0.1, 0.0, id="numbers differ"),
        pytest.param((1, 3), 0.1, 0.1, id="one seed against three"),
    ],
)
def test_few_recipes_without_a_difference_seem_to_differ(counts: tuple[int, int], deviation: float, own: float) -> None:
    found = list(differences(TRIALS, counts, deviation, own))
    wrong = [p_value < 0.05 for _, p_value in found]
    assert 0.005 <= np.mean(wrong) <= 0.07
    assert wrong == [not interval.low <= 0 <= interval.high for interval, _ in found]


@pytest.mark.parametrize("counts", [(3, 3), (1, 3)])
def test_the_interval_covers_a_difference(counts: tuple[int, int]) -> None:
    gold, predicted = trainings(np.random.default_rng(0), 20_000, (200, 200), 0.1, 0.1, 0.3)
    first, second = (np.mean([spearman(gold, seed) for seed in recipe]) for recipe in predicted)
    found = list(differences(TRIALS, counts, 0.1, 0.1, 0.3))
    assert 0.93 <= np.mean([interval.low <= second - first <= interval.high for interval, _ in found]) <= 0.99
    assert np.mean([value for (value, *_), _ in found]) == pytest.approx(second - first, abs=0.01)


def scores(values: list[float], explained: float = 0.0) -> SeedScores:
    """Scores whose errors on resampled pairs have this variance, and are independent between seeds."""
    rng = np.random.default_rng(int(1000 * values[0]))
    drawn = values + np.sqrt(explained) * rng.standard_normal((4000, len(values)))
    return SeedScores(np.array(values), Resamples(drawn, drawn.mean(axis=1)))


def test_it_is_welchs_test_if_the_pairs_do_not_matter() -> None:
    first, second = [0.80, 0.82, 0.81, 0.79], [0.84, 0.83, 0.88]
    expected = ttest_ind(second, first, equal_var=False)
    (value, *interval), p_value = difference_over_seeds(scores(first), scores(second))
    assert (value, p_value) == pytest.approx((0.045, expected.pvalue))
    assert interval == pytest.approx(expected.confidence_interval())


def test_variance_between_seeds_that_the_pairs_explain_is_counted_once() -> None:
    first, second = [0.79, 0.80, 0.81, 0.82], [0.83, 0.84, 0.85, 0.86]
    expected = ttest_ind(second, first, equal_var=False).confidence_interval()
    part = np.var(first, ddof=1) / 2
    (_, *interval), _ = difference_over_seeds(scores(first, part), scores(second, part))
    assert interval == pytest.approx(expected, rel=0.01)


def test_one_seed_is_taken_to_vary_as_the_other_recipe() -> None:
    several = [0.80, 0.82, 0.81]
    expected = ttest_ind(several, [0.85], equal_var=True)
    (value, *interval), p_value = difference_over_seeds(scores([0.85]), scores(several))
    assert (value, p_value) == pytest.approx((-0.04, expected.pvalue))
    assert interval == pytest.approx(expected.confidence_interval())


def test_a_recipe_does_not_differ_from_itself() -> None:
    same = scores([0.80, 0.80])
    assert difference_over_seeds(same, same) == (pytest.approx((0, 0, 0), abs=1e-9), 1)


def test_a_gain_over_the_mean_of_seeds_is_computed_on_the_same_rows() -> None:
    rng = np.random.default_rng(5)
    gold = rng.random(200)
    first, second, better = (
        pd.DataFrame({"gold": gold, "predicted": gold + rng.normal(0, noise, 200)}) for noise in (0.3, 0.3, 0.2)
    )
    metric = metrics_of("scored")[0]
    assert gain_over_seeds(metric, [first, first], first, 1) == pytest.approx((0, 0, 0), abs=1e-12)
    value, low, high = gain_over_seeds(metric, [first, second], better, 1)
    scores = [metric.compute(table) for table in (first, second, better)]
    assert value == pytest.approx(scores[2] - (scores[0] + scores[1]) / 2) and 0 < low < value < high


@pytest.mark.parametrize("shape", ["scored", "labelled", "triplets"])
def test_any_metric_of_seeds_has_its_mean_within_its_interval(shape: str) -> None:
    rng = np.random.default_rng(4)
    gold, base = rng.integers(0, 2, 200), rng.random(200)
    queries = dict.fromkeys((metric.predicted for metric in metrics_of("triplets")), base)
    tables = []
    for _ in range(3):
        noise = rng.normal(0, 0.1, 200)
        table = pd.DataFrame({name: np.clip(value + noise, 0, 1) for name, value in queries.items()})
        tables.append(table.assign(gold=gold, predicted=gold + base + noise, triplets=1))
    for metric in metrics_of(shape):
        found = seed_scores(metric, tables, 1, resamples=200)
        assert found.values.tolist() == [metric.compute(table) for table in tables]
        assert found.mean.low < found.mean.value < found.mean.high
        difference, p_value = difference_over_seeds(found, seed_scores(metric, tables, 1, resamples=200))
        assert (difference.value, p_value) == (0, 1)
