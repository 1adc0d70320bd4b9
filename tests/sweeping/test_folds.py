"""Cross-validation in a sweep: a trial trains once for each fold, and its value is that of all held-out predictions."""

import json
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

import src.sweep
from src.config import SweepSettings
from src.config.commands import ConfirmConfig
from src.data import load_examples
from src.evaluation.metrics import leading_metric
from src.evaluation.result import Result
from src.sweeping import trainings
from src.sweeping.study import SweepStudy
from src.sweeping.trainings import split_validation
from src.utils.errors import UserError

Sweep = Callable[..., SweepSettings]
FOLDS = 2


class Finished(NamedTuple):
    """A sweep with folds that has ended."""

    config: SweepSettings
    study: SweepStudy
    printed: str

    def runs(self, role: str) -> list[Run]:
        """Return the MLflow runs of a role, the first one first."""
        client = MlflowClient(self.config.tracking.uri)
        experiment = client.get_experiment_by_name("tiny").experiment_id
        return list(client.search_runs([experiment], f"tags.role = '{role}'", order_by=["attributes.start_time"]))


@pytest.fixture(scope="module")
def finished(sweep_config_in: Sweep, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    confirm = ConfirmConfig(top_k=2, seeds=1)
    config = sweep_config_in(tmp_path_factory.mktemp("folds"), trials=2, folds=FOLDS, pruner="none", confirm=confirm)
    printed = StringIO()
    with redirect_stdout(printed):
        assert src.sweep.run(config) is not None
    return Finished(config, SweepStudy(config), printed.getvalue())


@pytest.mark.slow
def test_the_value_of_a_trial_is_that_of_the_predictions_on_all_folds(finished: Finished) -> None:
    train = load_examples(finished.config.data).train
    for trial in finished.study.trials():
        folders = [finished.study.trial_folder(trial.number) / f"fold{fold}" for fold in (1, 2)]
        held_out = pd.concat([pd.read_parquet(folder / "predictions.parquet") for folder in folders])
        assert sorted(held_out["sentence1"]) == sorted(train["sentence1"])
        assert trial.value == leading_metric("scored").compute(held_out)
        assert trial.value not in [Result.load(folder).leading.value for folder in folders]
        assert len(trial.intermediate_values) >= 6
        ends = [trial.intermediate_values[progress] for progress in (50, 100)]
        assert ends == pytest.approx([Result.load(folder).leading.value for folder in folders], abs=1e-4)
        assert not any(folder.joinpath("model").exists() for folder in folders)


@pytest.mark.slow
def test_finalists_are_confirmed_on_every_fold(finished: Finished) -> None:
    choice = json.loads((finished.study.folder / "report" / "choice.json").read_text(encoding="utf-8"))
    for each in choice:
        confirmed = finished.study.folder / "confirm" / f"{each['number']:04d}-seed43"
        folders = [confirmed / f"fold{fold}" for fold in (1, 2)]
        held_out = pd.concat([pd.read_parquet(folder / "predictions.parquet") for folder in folders])
        assert each["mean"] == pytest.approx(leading_metric("scored").compute(held_out))


@pytest.mark.slow
def test_each_training_has_a_run_with_its_fold_in_the_name(finished: Finished) -> None:
    for role, words in (("trial", ""), ("confirmation", ", seed 43")):
        names = sorted(run.info.run_name.partition(":")[0] for run in finished.runs(role))
        assert names == [f"trial {number:03d}{words}, fold {fold}" for number in (0, 1) for fold in (1, 2)]
        assert {run.data.tags["fold"] for run in finished.runs(role)} == {"1", "2"}
    (winner,) = finished.runs("winner")
    assert "fold" not in winner.data.tags


@pytest.mark.slow
def test_the_cost_is_stated_at_the_start(finished: Finished) -> None:
    assert "; 40 pairs in 2 folds, each held out once; 0 of 2 trials done" in finished.printed
    cost = "at most 2 trials × 2 folds, and 2 finalists × 1 seed × 2 folds, and the winner"
    assert f"Cost: {cost}: 9 trainings of up to 2 epochs" in finished.printed
    assert "on 2 folds of train" in (finished.study.folder / "best.yaml").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_same_command_again_trains_nothing(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainings, "run_training", lambda *_: pytest.fail("trained again"))
    assert src.sweep.run(finished.config) is not None


@pytest.mark.slow
def test_a_trial_killed_in_its_second_fold_is_resumed_without_the_first(
    sweep_config: Sweep, start: Callable[[SweepSettings], ForkServerProcess]
) -> None:
    config = sweep_config(trials=1, folds=FOLDS, confirm=ConfirmConfig(top_k=1, seeds=0))
    trial = Path(config.folder) / "sweep" / "trials" / "0000"
    process = start(config)
    while not any(trial.glob("fold2/checkpoints/checkpoint-*")):
        assert process.is_alive()
        process.join(0.01)
    process.kill()
    process.join()
    first = (trial / "fold1" / "metrics.json").stat().st_mtime_ns
    assert not (trial / "fold2" / "metrics.json").exists()
    assert src.sweep.run(config) is not None
    assert (trial / "fold1" / "metrics.json").stat().st_mtime_ns == first
    client = MlflowClient(config.tracking.uri)
    runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id], "tags.role = 'trial'")
    assert sorted(run.data.tags["fold"] for run in runs) == ["1", "2"]  # the second run was resumed, too
    assert not any(trial.glob("fold*/checkpoints"))
    (done,) = SweepStudy(config).trials()
    assert {50, 100} < set(done.intermediate_values)


def test_only_the_primary_set_of_a_mixture_is_split(sweep_config: Sweep) -> None:
    config = sweep_config(folds=4)
    examples = load_examples(config.data)
    other = examples.__class__(**{**vars(examples), "name": "other"})
    parts = split_validation(config, examples.__class__(**{**vars(examples), "others": (other,)}))
    assert len(parts) == 4 and all(part.test is None for part in parts)
    assert [len(part.others[0].train) for part in parts] == [40] * 4
    assert sum(len(part.dev) for part in parts) == 40
    (warning,) = parts[0].warnings
    assert re.search(r"\d+ text\(s\) occur in both train of the set 'other' and the folds", warning)


@pytest.mark.parametrize("folds", [1, -2])
def test_one_fold_is_refused(folds: int, sweep_config: Sweep) -> None:
    with pytest.raises(UserError, match=rf"sweep\.folds must be 0, or at least 2, found {folds}"):
        sweep_config(folds=folds)


def test_more_folds_than_groups_are_refused_before_any_training(sweep_config: Sweep) -> None:
    with pytest.raises(UserError, match=r"sweep\.folds=41: expected at least 41 groups of pairs"):
        src.sweep.run(sweep_config(folds=41))
