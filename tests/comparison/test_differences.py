"""Differences between runs: the verdict, its correction for their number, and the pairs ranked most differently."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import bootstrap

from src.comparison.differences import differences, disagreements
from src.comparison.runs import SEED, ComparedRun, read_runs
from src.data.shapes import SHAPES
from src.evaluation.bootstrap import percentile_interval
from src.evaluation.metrics import leading_metric
from src.evaluation.permutation import permutation_p_value
from src.evaluation.seeds import difference_over_seeds
from src.evaluation.statistics import spearman

SCORED = leading_metric("scored")
Read = Callable[..., list[ComparedRun]]


@pytest.fixture
def read(make_run: Callable[..., Path], tmp_path: Path) -> Read:
    """Write a run for each amount of noise, and read them."""

    def done(*noises: float, shape: str = "scored") -> list[ComparedRun]:
        folders = [make_run(f"run-{number}", noise, shape=shape) for number, noise in enumerate(noises)]
        return read_runs([str(folder) for folder in folders], "sqlite:///nowhere/mlflow.db", tmp_path)

    return done


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("noises", "verdict"), [((0.9, 0.2), "B is better than A"), ((0.2, 0.9), "A is better than B")]
)
def test_the_better_run_is_named_with_its_gain(
    noises: tuple[float, float], verdict: str, shape: str, read: Read
) -> None:
    (found,) = differences(read(*noises, shape=shape))
    value, low, high = found.estimate
    assert found.significant and low < value < high and (value > 0) == verdict.startswith("B")
    ends = sorted((abs(low), abs(high)))
    assert found.verdict == f"{verdict}: {abs(value):+.3f} [{ends[0]:.3f}, {ends[1]:.3f}]"


def test_runs_that_differ_in_noise_only_are_not_distinguished(read: Read) -> None:
    (found,) = differences(read(0.4, 0.401))
    assert found.verdict == "A and B: no significant difference on 120 pairs"


def test_a_run_does_not_differ_from_itself(read: Read) -> None:
    (run,) = read(0.4)
    (found,) = differences([run, replace(run, letter="B")])
    assert found.estimate.value == 0 and found.p_value == 1 and not found.significant


def test_three_runs_give_three_corrected_differences(read: Read) -> None:
    found = differences(read(0.2, 0.201, 0.9))
    shown = [(each.first, each.second, each.significant) for each in found]
    assert shown == [("A", "B", False), ("A", "C", True), ("B", "C", True)]


def test_a_difference_needs_both_interval_and_p_value(read: Read) -> None:
    (found,) = differences(read(0.6, 0.2))
    assert not replace(found, p_value=0.05).significant
    assert not replace(found, estimate=found.estimate._replace(low=0.0)).significant


def test_the_pairs_ranked_most_differently_come_first(read: Read) -> None:
    runs = read(0.3, 0.31)
    lowest = int(runs[1].tables[0]["predicted"].argmin())
    found = disagreements([runs[0], changed(runs[1], lowest, 9.0)], 3)
    assert len(found) == 3 and found.index[0] == lowest
    assert found["spread"].is_monotonic_decreasing and found["B"].iloc[0] == 9.0
    assert disagreements([runs[0]], 3).empty


def changed(run: ComparedRun, row: int, value: float) -> ComparedRun:
    """Return a run with one prediction replaced."""
    (table,) = run.tables
    return replace(run, tables=[table.assign(predicted=table["predicted"].where(table.index != row, value))])


def test_the_queries_with_the_largest_difference_of_the_metric_come_first(read: Read) -> None:
    runs = read(0.4, 1.2, shape="triplets")
    found = disagreements(runs, 5)
    values = [run.tables[0]["cosine_ndcg_at_10"] for run in runs]
    gaps = (values[0] - values[1]).abs()
    assert found["spread"].tolist() == pytest.approx(sorted(gaps, reverse=True)[:5])
    assert found["spread"].tolist() == (found["A"] - found["B"]).abs().tolist()
    assert runs[0].rows.loc[found.index, "anchor"].tolist() == found["anchor"].tolist()


def test_with_one_seed_each_the_numbers_are_those_of_scipy(read: Read) -> None:
    first, second = read(0.4, 0.3)
    gold, (one,) = first.values(SCORED)
    scores = (gold, one, second.values(SCORED)[1][0])

    def difference(gold: np.ndarray, a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
        return spearman(gold, b) - spearman(gold, a)

    drawn = bootstrap(scores, difference, paired=True, n_resamples=2000, rng=np.random.default_rng(SEED))
    (found,) = differences([first, second])
    expected = percentile_interval(drawn.bootstrap_distribution)
    assert found.estimate == (difference(*scores), *expected)
    assert found.p_value == permutation_p_value(SCORED, *scores, SEED)


def test_several_seeds_differ_over_pairs_and_seeds(read: Read) -> None:
    runs = read(0.6, 0.601, 0.602, 0.2, 0.201)
    noisy, sharp = together("A", runs[:3]), together("B", runs[3:])
    (found,) = differences([noisy, sharp])
    assert (found.estimate, found.p_value) == difference_over_seeds(noisy.scores(SCORED), sharp.scores(SCORED))
    assert found.significant and found.seeds == (3, 2)
    (found,) = differences([noisy, runs[0]])
    assert found.verdict == "A and A: no significant difference on 120 pairs with 3 and 1 seeds"


def test_of_several_seeds_the_mean_rank_counts(read: Read) -> None:
    runs = read(0.3, 0.3, 0.3)
    first, *others = runs
    predicted = first.tables[0]["predicted"]
    lowest, highest = int(predicted.argmin()), int(predicted.argmax())
    # in one seed each: half the way from first to last
    seeds = together("B", [changed(others[0], lowest, 9.0), changed(others[1], highest, -9.0)])
    found = disagreements([first, seeds], 120)
    assert set(found.index[:2]) == {lowest, highest}
    assert found["spread"].iloc[0] == pytest.approx(((120 + 2) / 2 - 1) / 120)
    assert found.loc[lowest, "B"] == pytest.approx((9 + predicted.min()) / 2)


def together(letter: str, runs: list[ComparedRun]) -> ComparedRun:
    return replace(
        runs[0],
        letter=letter,
        results=[run.result for run in runs],
        tables=[table for run in runs for table in run.tables],
    )
