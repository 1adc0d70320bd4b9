"""Trials: pruning, failures, divergence, and models that are kept."""

from collections.abc import Callable

import pytest
from optuna.trial import TrialState

from src.config import SweepSettings
from src.evaluation.metrics import SPEARMAN, leading_metric
from src.sweeping.lease import acquire_trial
from src.sweeping.study import SweepStudy
from src.sweeping.trials import TrialCallback, TrialRunner
from src.training import CurveRow
from src.utils.errors import TrainingDiverged, UserError
from tests.sweeping.conftest import STEPS

Sweep = Callable[..., SweepSettings]
Open = Callable[[SweepSettings], SweepStudy]
Make = Callable[[SweepStudy], TrialRunner]


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
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
