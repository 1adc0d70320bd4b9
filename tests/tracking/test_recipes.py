"""Recipes in the store: which runs they have, and how they are named."""

from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from src.tracking.recipes import find_recipe
from src.utils.errors import UserError

LogSeed = Callable[..., str]
SLOW, FAST = "3fa9c21b lr 5e-05, 1 epoch", "3fa90000 lr 1e-03, 1 epoch"


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.mark.parametrize("given", ["3fa9c", "3fa9c21b", SLOW])
def test_a_recipe_has_the_latest_finished_run_of_each_seed(given: str, log_seed: LogSeed, uri: str) -> None:
    log_seed(SLOW, 42, start_time=1)
    log_seed(SLOW, 100, start_time=4, status="FAILED")
    log_seed(FAST, 44, start_time=5)
    hundred, other = log_seed(SLOW, 100, start_time=2), log_seed(SLOW, 43, name="other", start_time=1)
    again = log_seed(SLOW, 42, start_time=3)
    assert find_recipe(given, uri) == (SLOW, [again, other, hundred])


def test_averages_of_other_seeds_are_other_runs_of_their_recipe(log_seed: LogSeed, uri: str) -> None:
    by_seeds = {seeds: log_seed(SLOW, 42) for seeds in ("[1, 2]", "[3, 4]")}
    for seeds, run_id in by_seeds.items():
        MlflowClient(uri).log_param(run_id, "trainer.seeds", seeds)
    assert find_recipe("3fa9c", uri) == (SLOW, [*by_seeds.values()])


def test_the_start_of_two_recipes_is_refused_with_their_words(log_seed: LogSeed, uri: str) -> None:
    log_seed(SLOW, 42, start_time=1)
    log_seed(FAST, 42, start_time=2)
    with pytest.raises(UserError, match=rf"found 2 recipes \({FAST}; {SLOW}\): give more digits"):
        find_recipe("3fa9", uri)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("3fb0", "with finished runs in .*, found none: see recipes with `make ui`"),
        ("3fa", "at least the first 4, found 3fa: see recipes with `make ui`"),
        ("lr 5e-05", "found lr: "),
        ("", "found nothing: "),
        ("3fa9%", "found 3fa9%: "),
    ],
)
def test_an_unknown_recipe_is_refused(given: str, said: str, log_seed: LogSeed, uri: str) -> None:
    log_seed(SLOW, 42)
    with pytest.raises(UserError, match=said):
        find_recipe(given, uri)


def test_a_missing_or_unreadable_store_is_refused(tmp_path: Path, uri: str) -> None:
    with pytest.raises(UserError, match="found no such store: check --uri"):
        find_recipe("3fa9", uri)
    (tmp_path / "mlflow.db").write_text("not a database " * 100)
    with pytest.raises(UserError, match=r"expected a recipe .*, found: .*: check --uri"):
        find_recipe("3fa9", uri)
