"""The study: exact numbers of trials, reproducible params after a resume, no mix of settings."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from src.config import SweepSettings
from src.data import ExampleSet, load_examples
from src.pipeline import state
from src.sweeping.coordinator import join_study
from src.sweeping.leadership import Leadership
from src.sweeping.study import SweepStudy, plan_sweep, trial_id
from src.sweeping.trainings import split_validation
from src.sweeping.trials import TrialRunner
from src.utils.errors import UserError

Sweep = Callable[..., SweepSettings]
Open = Callable[[SweepSettings], SweepStudy]
Make = Callable[[SweepStudy], TrialRunner]


def outcome(study: SweepStudy) -> list[tuple[int, str, dict[str, Any], float | None]]:
    """Return number, state, params and Spearman of all trials."""
    return [(trial.number, trial.state.name, trial.params, trial.value) for trial in study.trials()]


def with_sweep(config: SweepSettings, folder: Path, **changes: Any) -> SweepSettings:
    return replace(config, folder=str(folder), sweep=replace(config.sweep, **changes))


def test_completed_and_pruned_trials_add_up_to_the_configured_number(
    sweep_config: Sweep, open_study: Open, make_runner: Make
) -> None:
    study = open_study(sweep_config(trials=12))
    make_runner(study).run_all("parent")
    states = [trial.state for trial in study.trials()]
    assert len(states) == 12
    assert set(states) == {TrialState.COMPLETE, TrialState.PRUNED}


def test_the_same_command_again_runs_nothing_and_more_trials_run_the_rest(
    sweep_config: Sweep, open_study: Open, make_runner: Make
) -> None:
    first = open_study(sweep_config(trials=5))
    make_runner(first).run_all("parent")
    again = make_runner(open_study(sweep_config(trials=5)))
    again.run_all("parent")
    assert again.trainings.params == {}  # type: ignore[attr-defined]
    more = make_runner(open_study(sweep_config(trials=8)))
    more.run_all("parent")
    assert sorted(more.trainings.params) == [5, 6, 7]  # type: ignore[attr-defined]


def test_a_smaller_number_cancels_the_surplus_of_waiting_trials(
    sweep_config: Sweep, open_study: Open, make_runner: Make
) -> None:
    open_study(sweep_config(trials=9))
    study = open_study(sweep_config(trials=4))
    make_runner(study).run_all("parent")
    assert study.done == 4
    assert not study.trials(TrialState.WAITING)


def test_all_waiting_trials_are_cancelled_if_even_those_that_run_are_too_many(
    sweep_config: Sweep, open_study: Open
) -> None:
    study = open_study(sweep_config(trials=9))
    for trial in study.trials()[:6]:
        study.storage.set_trial_state_values(trial_id(trial), TrialState.RUNNING)
    study.fill_queue(4, None)
    assert not study.trials(TrialState.WAITING)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "random", "gp"])
def test_no_params_repeat_and_a_resumed_sweep_samples_those_of_an_uninterrupted_one(
    sampler: str, sweep_config: Sweep, open_study: Open, make_runner: Make, tmp_path: Path
) -> None:
    config = sweep_config(trials=9, sampler=sampler)
    uninterrupted = open_study(config)
    make_runner(uninterrupted).run_all("parent")
    for total in (4, 9):
        resumed = open_study(with_sweep(config, tmp_path / "resumed", trials=total))
        make_runner(resumed).run_all("parent")
    assert outcome(resumed) == outcome(uninterrupted)
    assert len({str(trial.params) for trial in uninterrupted.trials()}) == 9


def test_a_grid_is_searched_point_by_point(sweep_config: Sweep, open_study: Open, make_runner: Make) -> None:
    space = {"trainer.learning_rate": {"choices": [1e-3, 2e-3, 3e-3]}, "trainer.epochs": {"choices": [1, 2]}}
    study = open_study(sweep_config(trials=6, sampler="grid", pruner="none", space=space))
    make_runner(study).run_all("parent")
    assert len({str(trial.params) for trial in study.trials()}) == 6


@pytest.fixture
def parts(sweep_config: Sweep) -> list[ExampleSet]:
    config = sweep_config()
    return split_validation(config, load_examples(config.data))


def start(study: SweepStudy, parts: list[ExampleSet]) -> None:
    study.state.save(plan_sweep(study, parts).state("parent"))


def test_other_settings_are_refused_with_the_difference(
    sweep_config: Sweep, open_study: Open, parts: list[ExampleSet]
) -> None:
    config = sweep_config()
    start(open_study(config), parts)
    for changed, difference in (
        (sweep_config("trainer.batch_size=8"), "trainer.batch_size was 4, is 8"),
        (sweep_config("trainer.precision=bf16"), "trainer.precision was fp32, is bf16"),
        (sweep_config(sampler="random"), "sweep.sampler was tpe, is random"),
        (sweep_config(space={"trainer.epochs": {"choices": [1, 3]}}), "sweep.space.trainer.epochs.choices was [1, 2]"),
        (sweep_config(seed=1), "sweep.seed was 42, is 1"),
        (sweep_config(folds=5), "sweep.folds was 0, is 5"),
    ):
        with pytest.raises(UserError) as refused:
            plan_sweep(SweepStudy(changed), parts)
        assert difference in str(refused.value)
    with pytest.raises(UserError, match=r"study\.db holds .* \(pairs was .*\): restore .*, or give .*, or remove the"):
        plan_sweep(SweepStudy(config), [replace(parts[0], train=parts[0].train.select(range(9)))])


def test_settings_without_influence_on_the_result_may_change(
    sweep_config: Sweep, open_study: Open, parts: list[ExampleSet]
) -> None:
    start(open_study(sweep_config()), parts)
    other = sweep_config("tracking.models=false", "trainer.threads=2", trials=30, workers=2, failures=9)
    assert plan_sweep(SweepStudy(other), parts).run_id == "parent"


def test_all_processes_train_in_the_precision_that_the_leader_resolved(
    sweep_config: Sweep, open_study: Open, parts: list[ExampleSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"auto": "bf16"}
    monkeypatch.setattr(state, "choose_precision", lambda wanted: found.get(wanted, wanted))
    config = sweep_config("trainer.precision=auto")
    start(open_study(config), parts)
    found["auto"] = "fp32"  # another machine, on which a probe would choose otherwise
    plan = plan_sweep(SweepStudy(config), parts)
    assert (plan.run_id, plan.config.trainer.precision) == ("parent", "bf16")


def test_a_plan_changes_neither_the_study_nor_the_folder(
    sweep_config: Sweep, open_study: Open, parts: list[ExampleSet]
) -> None:
    study = open_study(sweep_config())
    before = {path: path.stat().st_mtime_ns for path in study.folder.rglob("*")}
    assert plan_sweep(study, parts).run_id is None
    assert study.state.load() is None
    assert {path: path.stat().st_mtime_ns for path in study.folder.rglob("*")} == before


def test_a_new_study_starts_in_an_empty_folder_and_an_old_one_keeps_its_results(sweep_config: Sweep) -> None:
    config = sweep_config()
    former = Path(config.folder) / "sweep" / "trials" / "0000" / "metrics.json"
    journal = former.parent / "fold1" / "journal" / "key" / "operations.jsonl"
    journal.parent.mkdir(parents=True)
    journal.touch()
    for start in range(2):
        former.parent.mkdir(parents=True, exist_ok=True)
        former.touch()
        study = SweepStudy(config)
        with closing(Leadership(study)) as leadership:
            join_study(study, leadership)
        assert former.exists() == (start == 1)
    assert journal.exists()  # what a former run could not send yet


def test_a_database_that_cannot_be_opened_is_one_sentence(sweep_config: Sweep) -> None:
    with pytest.raises(UserError, match=r"sweep\.storage=postgresql://127\.0\.0\.1:1/none: expected a database"):
        SweepStudy(sweep_config(storage="postgresql://somebody:secret@127.0.0.1:1/none"))
