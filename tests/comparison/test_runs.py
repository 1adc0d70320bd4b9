"""Runs for a comparison: where they are found, and which are refused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from src.comparison.runs import ComparedRun, read_runs
from src.evaluation.result import RUN_FILES
from src.utils.errors import UserError
from tests.conftest import noisy_predictions

MakeRun = Callable[..., Path]
RECIPE = "3fa9c21b lr 5e-05, 1 epoch"


def read(*references: Path | str, uri: str = "sqlite:///nowhere/mlflow.db") -> list[ComparedRun]:
    return read_runs([str(each) for each in references], uri, Path("scratch"))


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("change", "shared"),
    [
        (lambda table: table.iloc[:100], 100),
        (lambda table: table.assign(gold=table["gold"].where(table.index > 0, 0.123)), 119),
        (lambda table: table.assign(sentence1=table["sentence1"] + "."), 0),
    ],
)
def test_runs_on_other_pairs_are_refused(
    change: Callable[[pd.DataFrame], pd.DataFrame], shared: int, make_run: MakeRun
) -> None:
    first, other = make_run("one", 0.4), make_run("other", change(noisy_predictions(0.4)))
    with pytest.raises(UserError, match=rf"on 120 \(files, dev\) and .* {shared} of them in common: compare runs on"):
        read(first, other)


@pytest.mark.parametrize("shape", ["positives", "triplets"])
def test_runs_on_other_queries_are_refused(shape: str, make_run: MakeRun) -> None:
    table = noisy_predictions(0.4, shape)
    fewer = make_run("fewer", table.iloc[:100], shape=shape)
    more = make_run("more", table.assign(positives=2), shape=shape)
    first = make_run("one", table.sample(frac=1, random_state=1), shape=shape)
    with pytest.raises(UserError, match=r"on the same queries, found .* on 120 .* on 100 \(files, dev\), 100 of them"):
        read(first, fewer)
    with pytest.raises(UserError, match=r"on 120 \(files, dev\), 0 of them in common"):
        read(first, more)
    assert read(first, make_run("same", table, shape=shape))[1].unit == "queries"


def test_runs_on_the_same_queries_with_other_candidates_are_refused(make_run: MakeRun) -> None:
    table = noisy_predictions(0.4, "triplets")
    first, second, former = (
        make_run(name, table, shape="triplets", evaluated_digest=digest)
        for name, digest in (("one", "a"), ("mined again", "b"), ("former", ""))
    )
    with pytest.raises(UserError, match="evaluated on the same queries"):
        read(first, second)
    assert len(read(first, former)) == 2


def test_runs_on_another_shape_are_refused(make_run: MakeRun) -> None:
    pairs, triplets = make_run("pairs", 0.4), make_run("triplets", 0.4, shape="triplets")
    said = r"one shape, found \S*pairs on scored \(Spearman\) and \S*triplets on triplets \(nDCG@10\): compare runs"
    with pytest.raises(UserError, match=said):
        read(pairs, triplets)


def test_the_order_of_the_pairs_does_not_matter(make_run: MakeRun) -> None:
    shuffled = noisy_predictions(0.4).sample(frac=1, random_state=1)
    first, other = read(make_run("one", 0.4), make_run("shuffled", shuffled))
    pd.testing.assert_frame_equal(first.tables[0], other.tables[0])


def test_scores_stored_in_single_precision_are_the_same(make_run: MakeRun) -> None:
    table = noisy_predictions(0.4)
    single = table.assign(gold=table["gold"].astype(np.float32))
    first, other = read(make_run("one", table), make_run("other", single))
    pd.testing.assert_frame_equal(first.tables[0], other.tables[0])


def test_runs_are_found_by_id_name_experiment_model_and_folder(
    make_run: MakeRun, empty_store: Path, tmp_path: Path
) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(uri)
    experiment = client.create_experiment("reviews", artifact_location=(tmp_path / "artifacts").as_uri())
    long = "한국어 이름, " * 16 + "x"  # longer than a file's name may be
    tracked = client.create_run(experiment, run_name=long).info.run_id
    source = make_run("source", 0.3)
    for name in RUN_FILES:
        client.log_artifact(tracked, str(source / name))
    client.set_terminated(tracked)
    client.create_run(experiment)  # a later one that still runs
    client.create_registered_model("reviews")
    client.create_model_version("reviews", source=source.as_uri(), run_id=tracked)
    client.set_registered_model_alias("reviews", "champion", "1")
    shutil.move(make_run("latest", 0.3), tmp_path / "experiments" / "latest")
    names = [tracked, long, "reviews", "models:/reviews/1", "models:/reviews@champion", "latest"]
    runs = read(*names, uri=uri)
    assert [run.letter for run in runs] == list("ABCDEF")
    assert [run.result.run_id for run in runs] == ["source"] * 5 + ["latest"]
    assert [run.reference for run in runs] == names


def test_a_recipe_holds_all_its_seeds(log_seed: Callable[..., str], make_run: MakeRun, tmp_path: Path) -> None:
    shuffled = noisy_predictions(0.401).sample(frac=1, random_state=1)
    second = log_seed(RECIPE, 43, shuffled, name="other")
    first = log_seed(RECIPE, 42, 0.4)
    recipe, one = read("recipe:3fa9", make_run("one", 0.401), uri=f"sqlite:///{tmp_path}/mlflow.db")
    assert (recipe.letter, recipe.reference) == ("A", f"recipe:{RECIPE}")
    assert recipe.run_ids == [first, second] and len(recipe.curves) == 2
    assert recipe.parameters["trainer.seed"] == "42, 43"
    assert len(recipe.tables) == 2 and recipe.tables[1].equals(one.tables[0])


def test_seeds_on_other_pairs_are_refused(log_seed: Callable[..., str], tmp_path: Path) -> None:
    log_seed(RECIPE, 42, 0.4)
    other = log_seed(RECIPE, 43, noisy_predictions(0.4).iloc[:100])
    with pytest.raises(UserError, match=rf"recipe:3fa9, run {other} on 100 \(files, dev\), 100 of them in common"):
        read("recipe:3fa9", "recipe:3fa9", uri=f"sqlite:///{tmp_path}/mlflow.db")


@pytest.mark.parametrize("name", RUN_FILES)
def test_an_unfinished_run_is_refused(name: str, make_run: MakeRun) -> None:
    complete, broken = make_run("complete", 0.3), make_run("broken", 0.3)
    (broken / name).unlink()
    with pytest.raises(UserError, match=rf"found no {name} in .*broken: train it first"):
        read(complete, broken)


@pytest.mark.parametrize("name", ["metrics.json", "predictions.parquet", "curve.csv"])
def test_a_damaged_run_is_refused(name: str, make_run: MakeRun) -> None:
    complete, broken = make_run("complete", 0.3), make_run("broken", 0.3)
    (broken / name).write_text("")
    with pytest.raises(UserError, match=r"broken.*expected .*, found .*: train it again"):
        read(complete, broken)
