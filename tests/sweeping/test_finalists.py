"""Finalists: ranked over seeds, and called better than the recipe only if the interval of the difference is above 0."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from src.evaluation.metrics import leading_metric
from src.evaluation.seeds import difference_over_seeds, seed_scores
from src.evaluation.statistics import Estimate
from src.sweeping.finalists import NOT_COMPARED, Finalist, compare_with_recipe, rank

METRIC = leading_metric("scored")
PARAMS = {"trainer.epochs": 1}
IN_SPACE: Any = SimpleNamespace(recipe=PARAMS)
OUTSIDE: Any = SimpleNamespace(recipe=None)


def finalist(
    number: int, noise: float, seeds: int = 3, recipe: bool = False, draw: int = 0, pairs: int = 150
) -> Finalist:
    """Return a finalist whose predictions have errors of this size, which it shares in part with all others."""
    common = np.random.default_rng(draw)
    gold, shared = common.integers(0, 36, pairs) / 35, common.normal(0, 0.2, pairs)
    own = np.random.default_rng([draw, number])
    tables = [
        pd.DataFrame({"gold": gold, "predicted": gold + (1 + noise) * (shared + own.normal(0, 0.1, pairs))})
        for _ in range(seeds)
    ]
    return Finalist(number, PARAMS, 0.9, tables, Estimate(0.9, *NOT_COMPARED.interval), recipe)


def test_a_clear_gain_is_called_better_with_its_interval() -> None:
    recipe, good = finalist(0, 1.0, recipe=True), finalist(1, 0.0)
    winner, second = rank([recipe, good], METRIC, 42)
    assert (winner.number, second.number) == (1, 0)
    expected, _ = difference_over_seeds(*(seed_scores(METRIC, one.predictions, 42) for one in (recipe, good)))
    assert winner.gain == second.behind == expected and expected.low > 0
    assert not second.tied and second.gain == (0, 0, 0) == winner.behind
    assert compare_with_recipe(IN_SPACE, [winner, second]) == f"better than the recipe by {expected}"
    assert winner.to_dict()["better_than_recipe"] and not second.to_dict()["better_than_recipe"]


def test_a_difference_within_the_noise_is_not_called_better() -> None:
    winner, *_, last = rank([finalist(0, 0.05, recipe=True), finalist(1, 0.0), finalist(2, 0.05)], METRIC, 42)
    assert not winner.recipe and winner.gain.value > 0 > winner.gain.low and last.tied
    assert compare_with_recipe(IN_SPACE, [winner, last]).startswith("no comparison" if not last.recipe else "no gain")
    ranking = rank([finalist(0, 0.05, recipe=True), finalist(1, 0.0)], METRIC, 42)
    assert compare_with_recipe(IN_SPACE, ranking) == f"no gain over the recipe shown: {ranking[0].gain}"


def test_what_was_not_confirmed_is_not_called_better() -> None:
    for seeds, said in ((0, "not confirmed with further seeds: no gain"), (1, "no gain over the recipe shown: 0.")):
        ranking = rank([finalist(1, 0.0, seeds), finalist(0, 1.0, seeds, recipe=True)], METRIC, 42)
        assert ranking[0].number == 1 and ranking[1].tied
        assert compare_with_recipe(IN_SPACE, ranking).startswith(said)


def test_the_recipe_may_win_and_may_be_missing() -> None:
    ranking = rank([finalist(1, 1.0), finalist(0, 0.0, recipe=True)], METRIC, 42)
    assert compare_with_recipe(IN_SPACE, ranking) == "the recipe itself"
    alone = [finalist(0, 0.0, seeds=0, recipe=True)]
    assert (
        compare_with_recipe(IN_SPACE, rank(alone, METRIC, 42)) == "the recipe itself, not confirmed with further seeds"
    )
    others = rank([finalist(1, 1.0), finalist(2, 0.0)], METRIC, 42)
    assert compare_with_recipe(OUTSIDE, others).endswith("lie outside sweep.space")
    assert compare_with_recipe(IN_SPACE, others).endswith("have no trial that has finished with all seeds")
    assert all(np.isnan(one.gain.value) and not one.to_dict()["better_than_recipe"] for one in others)


@pytest.mark.slow
def test_the_best_of_three_finalists_that_equal_the_recipe_is_seldom_called_better() -> None:
    wrong = 0
    for draw in range(100):
        finalists = [finalist(number, 0.0, recipe=number == 0, draw=draw, pairs=60) for number in range(4)]
        ranking = rank(finalists, METRIC, 42)
        wrong += compare_with_recipe(IN_SPACE, ranking).startswith("better")
    assert wrong <= 8
