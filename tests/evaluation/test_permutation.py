"""P-values of every metric equal scipy's, are uniform without a difference, and take bounded memory."""

import tracemalloc

import numpy as np
import pytest
from scipy.stats import kstest, permutation_test, rankdata, zscore

import src.evaluation.bootstrap
from src.evaluation.metrics import Metric, metrics_of
from src.evaluation.permutation import permutation_p_value
from src.evaluation.statistics import mean, pearson, ratio_of_sums, spearman

METRICS = {metric.name: metric for shape in ("scored", "labelled", "triplets") for metric in metrics_of(shape)}
LEADING = [METRICS[name] for name in ("spearman_cosine", "cosine_ap", "cosine_ndcg_at_10")]


def two_models(metric: Metric, rng: np.random.Generator, rows: int, second_noise: float) -> list[np.ndarray]:
    """Gold values, and those of two models that share a part of their error; the second has noise of its own."""
    shared, own = rng.normal(0, 0.25, rows), [rng.normal(0, noise, rows) for noise in (0.15, second_noise)]
    errors = [shared + each for each in own]
    if metric.statistic is mean:
        ranks = [1 + np.round(np.abs(4 * error)) for error in errors]
        return [np.ones(rows), *(1 / np.log2(1 + rank) for rank in ranks)]
    if metric.statistic is ratio_of_sums:
        triplets = rng.integers(1, 5, rows).astype(float)
        return [triplets, *(np.round(triplets * np.clip(1 - np.abs(error), 0, 1)) for error in errors)]
    if metric.statistic in (spearman, pearson):
        gold = rng.integers(0, 36, rows) / 35
        return [gold, *(gold + error for error in errors)]
    labels = rng.integers(0, 2, rows)
    return [labels, *(np.round(labels + 2 * error, 1) for error in errors)]


@pytest.mark.parametrize("rows", [30, 255])
@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_p_value_equals_that_of_scipy(metric: Metric, rows: int) -> None:
    gold, a, b = two_models(metric, np.random.default_rng(rows), rows, 0.2)
    by_rank = metric.of_similarities and metric.statistic is not pearson
    prepare = rankdata if by_rank else zscore if metric.statistic is pearson else np.asarray
    statistic = pearson if metric.statistic is spearman else metric.statistic  # of ranks, which are swapped

    def difference(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        values = np.broadcast_to(rankdata(gold) if metric.statistic is spearman else gold, a.shape)
        return statistic(values, b) - statistic(values, a)

    expected = permutation_test(
        (prepare(a), prepare(b)),
        difference,
        permutation_type="samples",
        n_resamples=499,
        rng=np.random.default_rng(3),
    )
    assert permutation_p_value(metric, gold, a, b, seed=3, resamples=499) == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("metric", LEADING, ids=lambda metric: metric.name)
def test_p_values_are_uniform_under_no_difference(metric: Metric) -> None:
    rng = np.random.default_rng(12)
    p_values = [
        permutation_p_value(metric, *two_models(metric, rng, 120, 0.15), seed=trial, resamples=299)
        for trial in range(400)
    ]
    assert kstest(p_values, "uniform").pvalue > 0.01
    assert 0.03 <= np.mean(np.array(p_values) <= 0.05) <= 0.075


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_p_value_is_small_where_one_model_is_clearly_better(metric: Metric) -> None:
    gold, better, worse = two_models(metric, np.random.default_rng(2), 250, 0.6)
    assert permutation_p_value(metric, gold, better, worse, seed=1) < 0.01
    assert permutation_p_value(metric, gold, better, better, seed=1) == 1


@pytest.mark.parametrize("name", ["spearman_cosine", "cosine_ap", "cosine_f1"])
def test_p_value_does_not_depend_on_the_scale_of_a_model(name: str) -> None:
    gold, a, b = two_models(METRICS[name], np.random.default_rng(2), 80, 0.2)
    found = [permutation_p_value(METRICS[name], gold, a, second, seed=1) for second in (b, rankdata(b) ** 3)]
    assert found[0] == found[1]


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_p_value_does_not_depend_on_the_number_of_permutations_at_a_time(
    metric: Metric, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = two_models(metric, np.random.default_rng(2), 255, 0.2)
    expected = permutation_p_value(metric, *models, seed=1, resamples=99)
    monkeypatch.setattr(src.evaluation.bootstrap, "CHUNK", 3 * 255)
    assert permutation_p_value(metric, *models, seed=1, resamples=99) == expected


@pytest.mark.parametrize("metric", LEADING, ids=lambda metric: metric.name)
def test_memory_does_not_grow_with_the_number_of_permutations(metric: Metric) -> None:
    gold, a, b = two_models(metric, np.random.default_rng(2), 20_000, 0.4)
    tracemalloc.start()
    permutation_p_value(metric, gold, a, b, seed=1, resamples=500)
    assert tracemalloc.get_traced_memory()[1] < 100e6  # all 500 at once: 0.6 to 4 GB
    tracemalloc.stop()


@pytest.mark.parametrize("name", ["spearman_cosine", "pearson_cosine", "cosine_ndcg_at_10"])
def test_predictions_that_are_not_finite_show_no_difference(name: str) -> None:
    gold, first, second = two_models(METRICS[name], np.random.default_rng(3), 60, 0.6)
    second = second.copy()
    second[0] = np.nan
    assert permutation_p_value(METRICS[name], gold, first, second, seed=1) == 1.0
