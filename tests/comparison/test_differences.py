"""Differences between runs: the verdict, its correction for their number, and the pairs ranked most differently."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from src.comparison.differences import differences, disagreements
from src.comparison.runs import ComparedRun, read_runs

Read = Callable[..., list[ComparedRun]]


@pytest.fixture
def read(make_run: Callable[..., Path], tmp_path: Path) -> Read:
    """Write a run for each amount of noise, and read them."""

    def done(*noises: float) -> list[ComparedRun]:
        folders = [make_run(f"run-{number}", noise) for number, noise in enumerate(noises)]
        return read_runs([str(folder) for folder in folders], "sqlite:///nowhere/mlflow.db", tmp_path)

    return done


@pytest.mark.parametrize(
    ("noises", "verdict"), [((0.6, 0.2), "B is better than A"), ((0.2, 0.6), "A is better than B")]
)
def test_the_better_run_is_named_with_its_gain(noises: tuple[float, float], verdict: str, read: Read) -> None:
    (found,) = differences(read(*noises))
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
    predicted = runs[1].predicted[0]
    lowest = int(predicted.argmin())
    predicted[lowest] = 9.0
    found = disagreements(runs, 3)
    assert len(found) == 3 and found.index[0] == lowest
    assert found["spread"].is_monotonic_decreasing and found["B"].iloc[0] == 9.0
    assert disagreements([runs[0]], 3).empty
