"""Trials: pruning, failures, divergence, and models that are kept."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from src.config import SweepSettings
from src.evaluation.metrics import SPEARMAN, leading_metric
from src.sweeping import coordinator
from src.sweeping.lease import Lease, acquire_trial
from src.sweeping.search import build_pruner
from src.sweeping.space import Params
from src.sweeping.study import SweepStudy, trial_id
from src.sweeping.trials import TrialCallback, TrialPruned, TrialRunner
from src.training import CurveRow
from src.utils.errors import TrainingDiverged, UserError
from tests.sweeping.conftest import STEPS

Sweep = Callable[..., SweepSettings]
Open = Callable[[SweepSettings], SweepStudy]
Make = Callable[[SweepStudy], TrialRunner]


@pytest.mark.parametrize("pruner", ["percentile", "median", "hyperband"])
def test_pruning_saves_steps_and_keeps_the_best(
    pruner: str, sweep_config: Sweep, open_study: Open, make_runner: Make
) -> None:
    study = open_study(sweep_config(trials=14, pruner=pruner, sampler="random"))
    runner = make_runner(study)
    runner.run_all("parent")
    assert runner.trainings.steps <= 0.75 * 14 * STEPS  # type: ignore[attr-defined]
    rates = [trial.params["trainer.learning_rate"] for trial in study.trials()]
    possible = [1 - abs(rate - 3e-3) * 50 for rate in rates]
    assert (study.best_trials()[0].value or 0) >= sorted(possible)[-3]


@pytest.mark.parametrize("pruner", ["wilcoxon", "none"])
def test_every_pruner_can_be_chosen(pruner: str, sweep_config: Sweep, open_study: Open, make_runner: Make) -> None:
    study = open_study(sweep_config(trials=3, pruner=pruner))
    make_runner(study).run_all("parent")
    assert study.done == 3


def test_a_failed_trial_is_not_counted_and_several_end_the_sweep(
    sweep_config: Sweep,
    open_study: Open,
    make_runner: Make,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = open_study(sweep_config(trials=4, failures=2))
    runner = make_runner(study)

    def failing(*_: object, **__: object) -> None:
        raise MemoryError("no more")

    with monkeypatch.context() as patch:
        patch.setattr(runner.trainings, "run", failing)
        with pytest.raises(UserError, match="found 2, the last one, 1, with MemoryError: no more"):
            runner.run_all("parent")
    assert "trial 0 failed:\nTraceback" in capsys.readouterr().out
    study.fill_queue(4, None)
    runner.run_all("parent")
    states = [trial.state for trial in study.trials()]
    assert states.count(TrialState.FAIL) == 2
    assert study.done == 4


@pytest.mark.parametrize("diverges", [False, True])
@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.WAITING])
def test_a_trial_that_another_process_has_taken_meanwhile_is_no_failure(
    state: TrialState,
    diverges: bool,
    sweep_config: Sweep,
    open_study: Open,
    make_runner: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = open_study(sweep_config(trials=2, failures=1))
    runner = make_runner(study)
    run, taken = runner.trainings.run, []

    def slow(params: Params, folder: Path, tags: dict[str, str], *others: Any, **options: Any) -> Any:
        if tags["trial.number"] == "0" and not taken:
            taken.append(study.trials()[0])
            study.storage.set_trial_state_values(trial_id(taken[0]), state, [0.25] if state.is_finished() else None)
            if diverges:
                raise TrainingDiverged("not finite", "lower it")
        return run(params, folder, tags, *others, **options)

    monkeypatch.setattr(runner.trainings, "run", slow)
    runner.run_all("parent")
    assert (study.done, runner.failures, len(study.trials())) == (2, 0, 2)
    assert (study.trials()[0].value == 0.25) == state.is_finished()


def test_workers_whose_trials_all_fail_do_not_run_for_ever(
    sweep_config: Sweep, open_study: Open, make_runner: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = open_study(sweep_config(trials=2, failures=2))

    def run_trials(*_: object) -> None:
        for trial in study.trials(TrialState.WAITING):
            study.storage.set_trial_user_attr(trial_id(trial), "reason", "OSError: no space left")
            study.storage.set_trial_state_values(trial_id(trial), TrialState.FAIL)

    monkeypatch.setattr(coordinator, "run_trials", run_trials)
    parent: Any = SimpleNamespace(run_id="parent", close_children=lambda: None)
    with pytest.raises(UserError, match=r"all have failed 2 times in a row \(the last: OSError: no space left\)"):
        coordinator.search(study, make_runner(study), parent)


def test_a_training_that_diverges_is_pruned_with_the_reason(
    sweep_config: Sweep, open_study: Open, make_runner: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = open_study(sweep_config(trials=2))
    runner = make_runner(study)

    def diverging(*_: object, **__: object) -> None:
        raise TrainingDiverged("step 3: expected a number", "train more gently")

    monkeypatch.setattr(runner.trainings, "run", diverging)
    runner.run_all("parent")
    assert {trial.state for trial in study.trials()} == {TrialState.PRUNED}
    assert study.trials()[0].user_attrs["reason"] == "step 3: expected a number"


def test_only_the_best_trials_keep_their_models(sweep_config: Sweep, open_study: Open, make_runner: Make) -> None:
    study = open_study(sweep_config(trials=8, pruner="none"))
    make_runner(study).run_all("parent")
    kept = {int(path.parent.name) for path in study.folder.glob("trials/*/model")}
    assert kept == {trial.number for trial in study.best_trials()[:2]}


def outcomes(prunes: bool, part: int = 0, parts: int = 1) -> list[bool]:
    """Return for each of eight evaluations whether a pruner that stops everything can stop the trial there."""
    ignored = dict.fromkeys(("report", "set_user_attr"), lambda *_: None)
    trial: Any = SimpleNamespace(should_prune=lambda: True, user_attrs={}, **ignored)
    callback = TrialCallback(Lease(trial, 0, {}), leading_metric("scored"), 8, part, parts, prunes)
    callback.on_train_begin(80, 0)
    stopped = []
    for step in range(10, 81, 10):
        try:
            callback.on_evaluate(CurveRow(step / 80, step, 0.1, 0.1, {SPEARMAN: 0.5}))
            stopped.append(False)
        except TrialPruned:
            stopped.append(True)
    return stopped


def test_a_trial_is_pruned_in_the_second_half_of_a_training_only() -> None:
    early, late = [False] * 3, [True] * 4
    assert outcomes(prunes=True) == [*early, *late, False]
    assert outcomes(prunes=True, part=0, parts=2) == [*early, *late, True]
    assert outcomes(prunes=True, part=1, parts=2) == [*early, *late, False]
    assert not any(outcomes(prunes=False))


def test_the_trial_of_the_recipe_is_never_pruned(
    sweep_config: Sweep, open_study: Open, make_runner: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = open_study(sweep_config(trials=3, sampler="grid", space={"trainer.epochs": {"choices": [1, 2, 3]}}))
    monkeypatch.setattr("optuna.trial.Trial.should_prune", lambda self: True)
    monkeypatch.setattr("tests.sweeping.conftest.InstantTrainings.spearman", lambda *_: 0.5)
    make_runner(study).run_all("parent")
    (completed,) = study.trials(TrialState.COMPLETE)
    assert completed.params == study.recipe == {"trainer.epochs": 1}
    assert len(study.trials(TrialState.PRUNED)) == 2


def test_slow_starters_are_kept_and_hopeless_trials_are_cut() -> None:
    study = optuna.create_study(direction="maximize", pruner=build_pruner("percentile"))
    steps = (50, 62, 75, 87, 100)

    def run(*values: float) -> bool:
        trial = study.ask()
        for step, value in zip(steps, values, strict=True):
            trial.report(value, step)
            if trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                return False
        study.tell(trial, values[-1])
        return True

    for end in (0.90, 0.91, 0.78, 0.89, 0.88):
        assert run(end - 0.02, end - 0.015, end - 0.01, end - 0.005, end)
    assert run(0.84, 0.87, 0.89, 0.905, 0.92)
    assert not run(0.77, 0.775, 0.78, 0.78, 0.78)


def test_trainings_of_any_length_are_compared_at_the_same_points(sweep_config: Sweep, open_study: Open) -> None:
    study = open_study(sweep_config(trials=6, pruner="none"))
    points = []
    for steps in (9, 57, 61, 122, 183, 1000):
        with acquire_trial(study) as lease:
            assert lease is not None
            callback = TrialCallback(lease, leading_metric("scored"), evaluations=8)
            callback.on_train_begin(steps, 0)
            for step in (0, *range(interval := -(-steps // 8), steps, interval), steps):
                callback.on_evaluate(CurveRow(step / steps, step, 0.1, 0.1, {SPEARMAN: step / steps}))
            study.tell(lease.number, 1.0)
            points.append(list(study.trials()[lease.number].intermediate_values))
    assert points[1:] == [[12, 25, 37, 50, 62, 75, 87, 100]] * 5
    assert set(points[0]) <= set(points[1])


def test_evaluations_at_the_same_per_cent_are_reported_once(
    sweep_config: Sweep, open_study: Open, recwarn: pytest.WarningsRecorder
) -> None:
    study = open_study(sweep_config(trials=1, pruner="none"))
    with acquire_trial(study) as lease:
        assert lease is not None
        callback = TrialCallback(lease, leading_metric("scored"), evaluations=160)
        callback.on_train_begin(160, 0)
        for step in range(1, 161):
            callback.on_evaluate(CurveRow(step / 160, step, 0.1, 0.1, {SPEARMAN: step / 160}))
    assert len(study.trials()[0].intermediate_values) == 101
    assert not [each for each in recwarn if "already reported" in str(each.message)]
