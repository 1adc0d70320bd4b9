"""The sweep: its results in its folder, in MLflow and on the console."""

import json
import math
import re
import shlex
import sqlite3
from collections.abc import Callable
from contextlib import closing, redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import pandas as pd
import pytest
from hydra import compose as compose_config
from hydra import initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from mlflow import MlflowClient
from mlflow.entities import Run
from omegaconf import OmegaConf

import src.sweep
from src.cli import CONF
from src.config import Config, SweepSettings, register_schemas, register_tuned, to_config
from src.config.commands import ConfirmConfig
from src.config.words import describe
from src.evaluation.metrics import LEARNING_RATE
from src.evaluation.result import Result
from src.sweeping import coordinator, trainings
from src.sweeping.space import build_space, current_params, training_config
from src.sweeping.study import SweepStudy
from src.sweeping.view import training_command
from src.tracking import PARENT, RECIPE
from src.utils.errors import TrainingDiverged, UserError

pytestmark = pytest.mark.slow
Sweep = Callable[..., SweepSettings]


class Finished(NamedTuple):
    """A sweep that has ended."""

    config: SweepSettings
    result: Result
    folder: Path
    client: MlflowClient
    printed: str


@pytest.fixture(scope="module")
def finished(sweep_config_in: Sweep, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("sweep")
    config = sweep_config_in(folder, trials=5, validation=0.4)
    printed = StringIO()
    with redirect_stdout(printed):
        result = src.sweep.run(config)
    assert result is not None
    return Finished(config, result, folder / "result" / "sweep", MlflowClient(config.tracking.uri), printed.getvalue())


def runs(client: MlflowClient, role: str) -> list[Run]:
    experiment = client.get_experiment_by_name("tiny").experiment_id
    return list(client.search_runs([experiment], f"tags.role = '{role}'", order_by=["attributes.start_time"]))


def choice_of(folder: Path) -> list[dict[str, Any]]:
    """Return the finalists in choice.json, the winner first."""
    finalists: list[dict[str, Any]] = json.loads((folder / "report" / "choice.json").read_text(encoding="utf-8"))
    return finalists


def test_each_trial_is_a_child_with_its_own_parameters_curve_and_state(finished: Finished) -> None:
    (parent,) = runs(finished.client, "sweep")
    children = runs(finished.client, "trial")
    table = pd.read_csv(finished.folder / "report" / "trials.csv")
    assert len(children) == len(table) == 5
    assert parent.info.status == "FINISHED"
    for child, row in zip(children, table.to_dict("records"), strict=True):
        assert child.data.tags[PARENT] == parent.info.run_id
        assert float(child.data.params["trainer.learning_rate"]) == pytest.approx(row["trainer.learning_rate"])
        assert float(child.data.params["trainer.epochs"]) == row["trainer.epochs"]
        assert finished.client.get_metric_history(child.info.run_id, "spearman_cosine")
        pruned = row["state"] == "pruned"
        assert child.info.status == ("KILLED" if pruned else "FINISHED")
        assert ("stopped" in child.data.tags) == pruned


def test_each_run_of_a_sweep_says_what_it_is(finished: Finished) -> None:
    (parent,), (winner,) = runs(finished.client, "sweep"), runs(finished.client, "winner")
    assert parent.info.run_name == "sweep, 5 trials" and RECIPE not in parent.data.tags
    trials = runs(finished.client, "trial")
    for run in (*trials, *runs(finished.client, "confirmation"), winner):
        params = {
            f"trainer.{key}": float(run.data.params[f"trainer.{key}"])
            for key in ("learning_rate", "warmup_ratio", "epochs")
        }
        trial, words = f"trial {int(run.data.tags['trial.number']):03d}", describe(params)
        seed = f", seed {run.data.params['trainer.seed']}" if run.data.tags["role"] == "confirmation" else ""
        start = "winner, " if run is winner else ""
        assert run.info.run_name == f"{start}{trial}{seed}: {words}"
        assert run.data.tags[RECIPE].endswith(f" {words}, batch 4, tiny")
    assert [run.info.run_name[:9] for run in trials] == [f"trial 00{number}" for number in range(5)]
    number = winner.data.tags["trial.number"]
    confirmed = [
        run.data.tags for run in runs(finished.client, "confirmation") if run.data.tags["trial.number"] == number
    ]
    assert len({tags[RECIPE] for tags in confirmed}) == 1
    note = parent.data.tags["mlflow.note.content"]
    assert (
        note.startswith(f"Trial 00{number} has won with lr") and f": {winner.data.tags['mlflow.note.content']}" in note
    )


def test_the_warm_up_of_every_trial_is_its_ratio_of_its_steps(finished: Finished) -> None:
    results = [Result.load(path.parent) for path in finished.folder.glob("trials/*/metrics.json")]
    configs = [OmegaConf.load(path.parent / "config.yaml") for path in finished.folder.glob("trials/*/metrics.json")]
    for result, config in zip(results, configs, strict=True):
        assert result.warmup_steps == math.ceil(config.trainer.warmup_ratio * result.steps)
    assert any(result.warmup_steps for result in results)


def test_every_trial_trains_with_the_linear_schedule_of_its_own_warm_up(finished: Finished) -> None:
    trials = optuna.load_study(study_name="tiny", storage=f"sqlite:///{finished.folder}/study.db").trials
    rising = 0
    for child in runs(finished.client, "trial"):
        peak, ratio = (float(child.data.params[f"trainer.{key}"]) for key in ("learning_rate", "warmup_ratio"))
        steps = trials[int(child.data.tags["trial.number"])].user_attrs["steps"]
        warmup = math.ceil(ratio * steps)
        history = finished.client.get_metric_history(child.info.run_id, LEARNING_RATE)
        assert history
        for point in history:
            share = point.step / warmup if point.step < warmup else (steps - point.step) / (steps - warmup)
            assert point.value == pytest.approx(peak * share, rel=1e-6, abs=1e-15)
            rising += point.step < warmup
    assert rising


def test_trials_are_compared_on_a_part_of_train_and_the_winner_is_trained_on_all_of_it(finished: Finished) -> None:
    for path in finished.folder.glob("trials/*/metrics.json"):
        result = Result.load(path.parent)
        assert (result.train_pairs, result.dev_pairs) == (24, 16)
        predictions = pd.read_parquet(path.parent / "predictions.parquet")
        assert len(predictions) == 16
    assert (finished.result.train_pairs, finished.result.dev_pairs) == (40, 40)
    assert len(pd.read_csv(finished.folder / "winner" / "curve.csv")) == 2
    card = (finished.folder / "winner" / "model" / "README.md").read_text(encoding="utf-8")
    assert "a search" in card and "on a validation part of train.\n\n#### Non-Default" in card
    trainer = OmegaConf.load(finished.folder / "winner" / "config.yaml").trainer
    assert (trainer.save_steps, trainer.resume) == (finished.config.trainer.eval_steps, "if_same")


def test_the_best_trials_are_confirmed_and_ranked_by_the_lower_end_of_the_interval(finished: Finished) -> None:
    confirmations, choice = runs(finished.client, "confirmation"), choice_of(finished.folder)
    assert len(confirmations) == 2 * len(choice)
    assert {run.data.params["trainer.keep"] for run in confirmations} == {"last"}
    assert [each["interval"][0] for each in choice] == sorted((each["interval"][0] for each in choice), reverse=True)
    assert choice[0]["behind"] == [0, 0]
    assert choice[1]["tied"] == (choice[1]["behind"][0] <= 0)


def test_the_recipe_is_confirmed_too_and_the_winner_compared_with_it(finished: Finished) -> None:
    choice = choice_of(finished.folder)
    (recipe,) = [each for each in choice if each["recipe"]]
    assert recipe["number"] == 0 and recipe["gain_interval"] == [0, 0]
    best = {trial.number for trial in SweepStudy(finished.config).best_trials()[:2]}
    assert {each["number"] for each in choice} == best | {0}
    low = choice[0]["gain_interval"][0]
    said = "the recipe itself" if choice[0]["recipe"] else "better than the recipe" if low > 0 else "no gain over the"
    (parent,) = runs(finished.client, "sweep")
    head = (finished.folder / "best.yaml").read_text(encoding="utf-8").splitlines()[2]
    row = next(line for line in finished.printed.splitlines() if re.match(r" *recipe ", line))
    for text in (parent.data.tags["best.recipe"], parent.data.tags["mlflow.note.content"], head, row):
        assert said in text
    assert parent.data.metrics["gain_over_recipe"] == pytest.approx(choice[0]["gain_over_recipe"])


def test_the_parent_shows_the_best_values_plots_and_table(finished: Finished) -> None:
    (parent,) = runs(finished.client, "sweep")
    artifacts = {item.path for item in finished.client.list_artifacts(parent.info.run_id)}
    assert {"best.yaml", "trials.csv", "importances.csv", "choice.json", "plots"} <= artifacts
    plots = {Path(item.path).name for item in finished.client.list_artifacts(parent.info.run_id, "plots")}
    assert plots >= {"history.png", "parallel_coordinate.png", "slice.png", "importances.png"}
    assert "best.trainer.learning_rate" in parent.data.tags
    assert parent.data.metrics["best_value"] > 0
    assert parent.data.metrics["spearman_cosine"] == finished.result.leading.value
    shares = pd.read_csv(finished.folder / "report" / "importances.csv")
    assert {"ped_anova", "fanova"} <= set(shares.columns)


def test_the_run_of_the_winning_trial_has_its_model(finished: Finished) -> None:
    choice = choice_of(finished.folder)
    (child,) = [run for run in runs(finished.client, "trial") if "sweep.winner" in run.data.tags]
    assert child.data.tags["trial.number"] == str(choice[0]["number"])
    assert child.info.status == "FINISHED"
    (final,) = runs(finished.client, "winner")
    for run in (child, final):
        experiment = run.info.experiment_id
        models = finished.client.search_logged_models([experiment], f"source_run_id = '{run.info.run_id}'")
        assert len(models) == 1
    assert finished.result.model_version == "1"


def test_the_database_has_one_study(finished: Finished) -> None:
    assert optuna.get_all_study_names(f"sqlite:///{finished.folder}/study.db") == ["tiny"]


def test_the_console_shows_a_line_for_each_trial(finished: Finished) -> None:
    lines = re.findall(
        r"^trial +\d+  (?:finished|pruned) .* best .*(\d)/5 done(?:, .* (left))?  lr [\d.e-]+, ", finished.printed, re.M
    )
    assert lines == [("1", "left"), ("2", "left"), ("3", "left"), ("4", "left"), ("5", "")]
    announced = re.search(r"Confirming the best 2 trials.* with 2 further seeds: (\d) trainings", finished.printed)
    assert announced and int(announced[1]) == finished.printed.count("confirmed with seed")
    assert "24 pairs to train on, 16 held out for validation; 0 of 5 trials done" in finished.printed
    cost = "at most 5 trials, and 2 finalists and the recipe × 2 seeds, and the winner: 12 trainings of up to 2 epochs"
    assert f"Cost: {cost}" in finished.printed
    assert "train with it" in finished.printed
    summaries = re.findall(r"^\w+: run ", finished.printed, re.M)
    assert len(summaries) == 1  # that of the winner; trials print theirs to their log only
    logged = (finished.folder / "sweep.log").read_text(encoding="utf-8")
    assert len(re.findall(r"INFO +trial +\d+  (?:finished|pruned)", logged)) == 5
    assert len(list(finished.folder.glob("trials/*/train.log"))) == 5


def test_the_same_command_again_trains_nothing(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainings, "run_training", lambda *_: pytest.fail("trained again"))
    assert src.sweep.run(finished.config) == finished.result


def test_an_outage_of_the_store_during_the_trials_loses_none_of_them(
    sweep_config: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = sweep_config(trials=2, validation=0.4, confirm=ConfirmConfig(top_k=1, seeds=0))
    run_trials = coordinator.run_trials

    def during_an_outage(*arguments: Any) -> None:
        with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            run_trials(*arguments)

    monkeypatch.setattr(coordinator, "run_trials", during_an_outage)
    monkeypatch.setattr("src.tracking.database.LOCK_TIMEOUT", 0.05)
    assert src.sweep.run(config) is not None
    client = MlflowClient(config.tracking.uri)
    (parent,), children = runs(client, "sweep"), runs(client, "trial")
    assert [child.data.tags[PARENT] for child in children] == [parent.info.run_id] * 2
    assert {child.info.status for child in children} <= {"FINISHED", "KILLED"}
    assert sum("sweep.winner" in child.data.tags for child in children) == 1
    assert len(client.search_logged_models([parent.info.experiment_id])) == 2
    assert not list((tmp_path / "result").rglob("journal"))


def test_a_sweep_whose_database_is_damaged_starts_anew_with_the_finished_trainings(
    sweep_config: Sweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = sweep_config(trials=2, validation=0.4, pruner="none", confirm=ConfirmConfig(top_k=1, seeds=0))
    result = src.sweep.run(config)
    database = Path(config.folder) / "sweep" / "study.db"
    database.write_bytes(b"")
    monkeypatch.setattr(trainings, "run_training", lambda *_: pytest.fail("trained again"))
    assert src.sweep.run(config) == result
    assert "found an empty file: it is kept as" in capsys.readouterr().out


def test_the_next_best_trial_wins_if_the_winner_diverges_on_all_of_train(
    sweep_config: Sweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = sweep_config(trials=2, validation=0.4, pruner="none", confirm=ConfirmConfig(top_k=1, seeds=0))
    run_training, excluded = trainings.run_training, []

    def diverging(
        config: Config, pairs: Any, encoder: Any, callbacks: Any, tags: dict[str, str], *others: Any
    ) -> Result:
        if tags["role"] == "winner" and not excluded:
            excluded.append(tags["trial.number"])
            raise TrainingDiverged("step 3: expected finite weights, found some that are not", "train more gently")
        return run_training(config, pairs, encoder, callbacks, tags, *others)

    monkeypatch.setattr(trainings, "run_training", diverging)
    result = src.sweep.run(config)
    (child,) = [run for run in runs(MlflowClient(config.tracking.uri), "trial") if "sweep.winner" in run.data.tags]
    assert [child.data.tags["trial.number"]] == [number for number in "01" if number not in excluded]
    assert f"trial   {excluded[0]}  excluded: step 3: expected finite weights" in capsys.readouterr().out
    assert src.sweep.run(config) == result


def test_the_command_for_the_winner_repeats_the_options_of_the_sweep(
    finished: Finished, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    options = ["+experiment=review_sts", "name=second", "data.sources=[sample]"]
    searched = ["trainer.learning_rate=1e-4", "sweep.trials=3", "++sweep.confirm.seeds=0"]
    register_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose_config("sweep", overrides=[*options, *searched], return_hydra_config=True)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", composed)
    kept = "+experiment=review_sts name=second 'data.sources=[sample]'"
    params = {"trainer.learning_rate": 2e-4, "loss.name": "cosent", "model.revision": "1.10", "model.dropout": None}
    named = """trainer.learning_rate=0.0002 loss.name=cosent 'model.revision="1.10"' model.dropout=null"""
    assert training_command(SweepStudy(finished.config), params) == f"python -m src.train {kept} {named}"
    monkeypatch.chdir(tmp_path)
    study = SweepStudy(replace(finished.config, folder="experiments/second"))
    assert training_command(study, params) == f"python -m src.train {kept} +tuned=second"


def test_the_command_for_a_winner_whose_name_has_a_blank_is_quoted_for_shell_and_hydra(
    sweep_config: Sweep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    command = training_command(SweepStudy(replace(sweep_config(), folder="experiments/방 과 침대")), {})
    assert shlex.split(command)[-1] == '+tuned="방 과 침대"'


def test_src_train_takes_the_winner_s_params_by_name(finished: Finished, compose: Callable[..., Config]) -> None:
    register_tuned(finished.folder.parent.parent)
    tuned = compose("+experiment=review_sts", "+tuned=result").trainer
    best = OmegaConf.load(finished.folder / "best.yaml").trainer
    assert (tuned.learning_rate, tuned.warmup_ratio, tuned.epochs) == (
        best.learning_rate,
        best.warmup_ratio,
        best.epochs,
    )
    assert tuned.batch_size == 16


def test_the_default_sweep_of_an_experiment_composes() -> None:
    register_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = to_config(compose_config("sweep", overrides=["+experiment=review_sts", "folder=result"]))
    assert isinstance(config, SweepSettings)
    space = build_space(config.sweep.space, training_config(config))
    assert list(space) == ["trainer.learning_rate", "trainer.warmup_ratio", "trainer.epochs"]
    assert current_params(training_config(config), space) == dict(zip(space, (5e-5, 0.1, 1), strict=True))


def test_another_space_in_the_same_folder_is_refused(finished: Finished) -> None:
    sweep = replace(finished.config.sweep, space={"trainer.epochs": {"choices": [1, 2]}})
    with pytest.raises(UserError, match=r"sweep\.space\.trainer\.learning_rate\.high was 0\.01, is not set"):
        src.sweep.run(replace(finished.config, sweep=sweep))
