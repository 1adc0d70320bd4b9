"""Confirmation of the best trials with further seeds, without those that diverge, and the winner."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from src.config import SweepSettings
from src.config.commands import ConfirmConfig
from src.evaluation.statistics import Estimate
from src.sweeping.finalists import Finalist, confirm
from src.sweeping.study import SweepStudy
from src.sweeping.trainings import Trainings, trial_config
from src.sweeping.trials import TrialRunner
from src.sweeping.winner import retrain_missing, winner_config
from src.training.fine_tune import save_interval
from src.utils.errors import TrainingDiverged, UserError

Sweep = Callable[..., SweepSettings]
Open = Callable[[SweepSettings], SweepStudy]
Make = Callable[[SweepStudy], TrialRunner]


@pytest.fixture
def trainings(sweep_config: Sweep, open_study: Open, make_runner: Make) -> Trainings:
    runner = make_runner(open_study(sweep_config(trials=4, pruner="none", confirm=ConfirmConfig(top_k=3, seeds=2))))
    runner.run_all("parent")
    return runner.trainings


def diverging(*rates: float) -> Callable[..., SimpleNamespace]:
    """Return a replacement of `Trainings.run` that diverges at those learning rates."""

    def run(params: dict[str, Any], folder: Path, *_: Any, **__: Any) -> SimpleNamespace:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        if params["trainer.learning_rate"] in rates:
            raise TrainingDiverged("step 3: expected finite weights, found some that are not", "train more gently")
        predictions = pd.DataFrame({"gold": [0.0, 0.5, 1.0], "predicted": [0.1, 0.4, 0.8]})
        return SimpleNamespace(value=1.0, predictions=predictions)

    return run


def test_the_next_best_trial_replaces_one_that_diverges_with_another_seed(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *others = trainings.study.best_trials()
    monkeypatch.setattr(trainings, "run", diverging(first.params["trainer.learning_rate"]))
    assert [finalist.number for finalist in confirm(trainings, "parent")] == [trial.number for trial in others]
    excluded = f"{first.number}  excluded: step 3: expected finite weights, found some that are not\n"
    assert excluded in capsys.readouterr().out
    assert not list(trainings.study.folder.glob(f"confirm/{first.number:04d}-*/checkpoints"))
    monkeypatch.setattr(trainings, "run", diverging())
    assert [finalist.number for finalist in confirm(trainings, "parent")] == [trial.number for trial in others]
    assert excluded in capsys.readouterr().out


def test_the_sweep_ends_if_all_trials_diverge(trainings: Trainings, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = [trial.params["trainer.learning_rate"] for trial in trainings.study.best_trials()]
    monkeypatch.setattr(trainings, "run", diverging(*rates))
    with pytest.raises(UserError, match=r"found that all do: search lower learning rates"):
        confirm(trainings, "parent")


def test_the_error_names_the_end_of_the_last_trial_if_none_finishes(
    sweep_config: Sweep, open_study: Open, make_runner: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = make_runner(open_study(sweep_config(trials=2)))

    def run(*_: object, **__: object) -> None:
        raise TrainingDiverged("step 3: expected finite weights, found some that are not", "train more gently")

    monkeypatch.setattr(runner.trainings, "run", run)
    runner.run_all("parent")
    with pytest.raises(UserError, match=r"found none \(the last: step 3: expected finite weights"):
        confirm(runner.trainings, "parent")


def test_a_winner_that_was_trained_on_another_machine_is_trained_again_here(
    sweep_config: Sweep, open_study: Open, make_runner: Make
) -> None:
    study = open_study(sweep_config(trials=2, pruner="none"))
    runner = make_runner(study)
    runner.run_all("parent")
    trial = study.best_trials()[0]
    winner = Finalist(trial.number, trial.params, 0.0, [], Estimate(0.0, 0.0, 0.0))
    here = study.trial_folder(trial.number)
    assert retrain_missing(winner, runner.trainings, "parent") == here
    shutil.rmtree(here)
    runner.trainings.params.clear()  # type: ignore[attr-defined]
    again = retrain_missing(winner, runner.trainings, "parent")
    assert (again / "model").is_dir()
    assert runner.trainings.params == {trial.number: trial.params}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("setting", "steps"),
    [
        ("trainer.eval_steps=3", 3),
        ("trainer.save_steps=4", 4),
        ("trainer.save_every_epochs=0.5", 5),
    ],
)
def test_the_winner_is_evaluated_once_and_its_checkpoints_come_as_configured(
    setting: str, steps: int, sweep_config: Sweep, open_study: Open
) -> None:
    study = open_study(sweep_config(setting))
    params = {"trainer.epochs": 2, "trainer.learning_rate": 1e-3, "trainer.warmup_ratio": 0.1}
    winner = Finalist(0, params, 0.0, [], Estimate(0.0, 0.0, 0.0))
    trainer = winner_config(study, winner, [40]).trainer
    assert (trainer.eval_steps, trainer.eval_every_epochs, trainer.keep) == (20, None, "last")
    assert save_interval(trainer, 40) == steps


def test_only_the_winner_of_a_sweep_can_become_champion(sweep_config: Sweep, open_study: Open, tmp_path: Path) -> None:
    study = open_study(sweep_config("tracking.champion=auto"))
    params = {"trainer.epochs": 2, "trainer.learning_rate": 1e-3, "trainer.warmup_ratio": 0.1}
    winner = Finalist(0, params, 0.0, [], Estimate(0.0, 0.0, 0.0))
    assert winner_config(study, winner, [40]).tracking.champion == "auto"
    assert trial_config(study, params, [40], tmp_path, "trial 000").tracking.champion == "off"
