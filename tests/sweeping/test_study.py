"""The trials in their database: counted exactly, gone on with after any death, never mixed with other settings."""

import os
import random
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from src.config import SweepSettings
from src.errors import Diverged, UserError
from src.metrics.statistics import Interval
from src.sweeping.claims import claimed, release_stale
from src.sweeping.identity import identity_of, stay_the_same
from src.sweeping.listener import TrialListener
from src.sweeping.objective import TrialRunner
from src.sweeping.selection import Standing
from src.sweeping.study import SweepStudy, best_first
from src.sweeping.trainings import plain
from src.sweeping.winner import model_folder
from src.training.curve import CurveRow

Sweep = Callable[..., SweepSettings]
Open = Callable[[SweepSettings], SweepStudy]
Make = Callable[[SweepStudy], TrialRunner]
STEPS = 40
"""Length of a training of `InstantTrainings`."""


def outcome(study: SweepStudy) -> list[tuple[int, str, dict[str, Any], float | None]]:
    """Return number, state, values and Spearman of all trials."""
    return [(trial.number, trial.state.name, trial.params, trial.value) for trial in study.trials()]


def with_sweep(config: SweepSettings, folder: Path, **changes: Any) -> SweepSettings:
    return replace(config, folder=str(folder), sweep=replace(config.sweep, **changes))


def test_finished_and_pruned_trials_add_up_to_the_number_asked_for(
    bare_config: Sweep, study_of: Open, runner_of: Make
) -> None:
    study = study_of(bare_config(trials=12))
    runner_of(study).work("parent")
    states = [trial.state for trial in study.trials()]
    assert len(states) == 12
    assert set(states) == {TrialState.COMPLETE, TrialState.PRUNED}


def test_the_same_command_again_runs_nothing_and_more_trials_run_the_rest(
    bare_config: Sweep, study_of: Open, runner_of: Make
) -> None:
    first = study_of(bare_config(trials=5))
    runner_of(first).work("parent")
    again = runner_of(study_of(bare_config(trials=5)))
    again.work("parent")
    assert again.trainings.values == {}  # type: ignore[attr-defined]
    more = runner_of(study_of(bare_config(trials=8)))
    more.work("parent")
    assert sorted(more.trainings.values) == [5, 6, 7]  # type: ignore[attr-defined]


def test_fewer_trials_than_wait_leaves_the_surplus_out(bare_config: Sweep, study_of: Open, runner_of: Make) -> None:
    study_of(bare_config(trials=9))
    study = study_of(bare_config(trials=4))
    runner_of(study).work("parent")
    assert study.done == 4
    assert not study.trials(TrialState.WAITING)


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp"])
def test_no_draw_is_repeated_and_a_resumed_sweep_draws_what_an_undisturbed_one_does(
    sampler: str, bare_config: Sweep, study_of: Open, runner_of: Make, tmp_path: Path
) -> None:
    config = bare_config(trials=9, sampler=sampler)
    whole = study_of(config)
    runner_of(whole).work("parent")
    for total in (4, 9):
        halved = study_of(with_sweep(config, tmp_path / "halved", trials=total))
        runner_of(halved).work("parent")
    assert outcome(halved) == outcome(whole)
    assert len({str(trial.params) for trial in whole.trials()}) == 9


def test_a_grid_is_searched_point_by_point(bare_config: Sweep, study_of: Open, runner_of: Make) -> None:
    space = {"trainer.learning_rate": {"choices": [1e-3, 2e-3, 3e-3]}, "trainer.epochs": {"choices": [1, 2]}}
    study = study_of(bare_config(trials=6, sampler="grid", pruner="none", space=space))
    runner_of(study).work("parent")
    assert len({str(trial.params) for trial in study.trials()}) == 6


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_pruning_saves_steps_and_keeps_the_best(
    pruner: str, bare_config: Sweep, study_of: Open, runner_of: Make
) -> None:
    study = study_of(bare_config(trials=14, pruner=pruner, sampler="random"))
    runner = runner_of(study)
    runner.work("parent")
    assert runner.trainings.steps <= 0.75 * 14 * STEPS  # type: ignore[attr-defined]
    rates = [trial.params["trainer.learning_rate"] for trial in study.trials()]
    possible = [1 - abs(rate - 3e-3) * 50 for rate in rates]
    assert best_first(study)[0].value >= sorted(possible)[-3]


@pytest.mark.parametrize("pruner", ["wilcoxon", "none"])
def test_every_pruner_can_be_chosen(pruner: str, bare_config: Sweep, study_of: Open, runner_of: Make) -> None:
    study = study_of(bare_config(trials=3, pruner=pruner))
    runner_of(study).work("parent")
    assert study.done == 3


def test_a_failed_trial_is_not_counted_and_many_stop_the_sweep(
    bare_config: Sweep, study_of: Open, runner_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = bare_config(trials=4, failures=2)
    study = study_of(config)
    runner = runner_of(study)

    def failing(*_: object, **__: object) -> None:
        raise MemoryError("no more")

    with monkeypatch.context() as patch:
        patch.setattr(runner.trainings, "run", failing)
        with pytest.raises(UserError, match="2 failed, the last one, 1, with MemoryError: no more"):
            runner.work("parent")
    study.fill_up(4, None)
    runner.work("parent")
    states = [trial.state for trial in study.trials()]
    assert states.count(TrialState.FAIL) == 2
    assert study.done == 4


def test_a_training_that_diverges_is_pruned_with_the_reason(
    bare_config: Sweep, study_of: Open, runner_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study_of(bare_config(trials=2))
    runner = runner_of(study)

    def diverging(*_: object, **__: object) -> None:
        raise Diverged("step 3: expected a number", "train more gently")

    monkeypatch.setattr(runner.trainings, "run", diverging)
    runner.work("parent")
    assert {trial.state for trial in study.trials()} == {TrialState.PRUNED}
    assert study.trials()[0].user_attrs["reason"] == "step 3: expected a number"


def test_only_the_best_trials_keep_their_models(bare_config: Sweep, study_of: Open, runner_of: Make) -> None:
    study = study_of(bare_config(trials=8, pruner="none"))
    runner_of(study).work("parent")
    kept = {int(path.parent.name) for path in study.folder.glob("trials/*/model")}
    assert kept == {trial.number for trial in best_first(study)[:2]}


def test_an_interrupted_trial_waits_with_its_values(
    bare_config: Sweep, study_of: Open, runner_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study_of(bare_config(trials=3))
    runner = runner_of(study)

    def interrupted(values: dict[str, Any], *_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(runner.trainings, "run", interrupted)
        runner.work("parent")
    (waiting,) = [trial for trial in study.trials(TrialState.WAITING) if trial.params]
    runner.work("parent")
    assert runner.trainings.values[0] == waiting.params  # type: ignore[attr-defined]
    assert study.done == 3


CHANGES = (
    "set_trial_param",
    "set_trial_state_values",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "record_heartbeat",
)


def run_and_die(study: Callable[[], SweepStudy], make: Make, moment: int) -> int:
    """Run a sweep in a forked process that kills itself with -9 before its `moment`-th write; return its signal."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    left = moment

    def dying(write: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return write(*arguments, **named)

        return wrapped

    for name in CHANGES:
        setattr(RDBStorage, name, dying(getattr(RDBStorage, name)))
    try:
        make(study()).work("parent")
    finally:
        os._exit(0)


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_killed_at_ten_random_moments_a_sweep_ends_as_if_undisturbed(
    pruner: str, bare_config: Sweep, study_of: Open, runner_of: Make, tmp_path: Path
) -> None:
    config = bare_config(trials=8, pruner=pruner)
    undisturbed = study_of(config)
    runner_of(undisturbed).work("parent")
    killed = with_sweep(config, tmp_path / "killed")
    moments = random.Random(7)
    signals = [run_and_die(lambda: study_of(killed), runner_of, moments.randint(1, 20)) for _ in range(10)]
    assert signals == [signal.SIGKILL] * 10
    study = study_of(killed)
    runner_of(study).work("parent")
    assert outcome(study) == outcome(undisturbed)
    assert len(study.trials()) == 8


def test_workers_that_share_a_file_run_each_trial_once(bare_config: Sweep, study_of: Open, runner_of: Make) -> None:
    config = bare_config(trials=12)
    study_of(config)

    def work(_: int) -> list[int]:
        runner = runner_of(SweepStudy(config, study_of(config).space))
        runner.work("parent")
        return sorted(runner.trainings.values)  # type: ignore[attr-defined]

    with ThreadPoolExecutor(3) as pool:
        shares = list(pool.map(work, range(3)))
    assert sorted(number for share in shares for number in share) == list(range(12))


def test_a_trial_whose_process_lives_is_nobody_elses(bare_config: Sweep, study_of: Open) -> None:
    config = bare_config(trials=2)
    first, second = study_of(config), study_of(config)
    with claimed(first) as one, claimed(second) as other:
        assert one is not None
        assert other is not None
        assert {one.number, other.number} == {0, 1}
        with claimed(second) as none_left:
            assert none_left is None


def test_a_trial_that_ends_while_dead_ones_are_looked_for_keeps_its_outcome(
    bare_config: Sweep, study_of: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = bare_config(trials=1)
    first, second = study_of(config), study_of(config)
    with claimed(first) as claim:
        assert claim is not None
        seen = second.trials(TrialState.RUNNING)
        first.tell(claim.number, 0.5)
    monkeypatch.setattr(second, "trials", lambda *_: seen)
    release_stale(second)
    assert [trial.value for trial in first.trials(TrialState.COMPLETE)] == [0.5]


def test_a_trial_of_another_machine_is_run_again_only_when_its_heart_has_stopped(
    bare_config: Sweep, study_of: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = bare_config(trials=1, storage=f"sqlite:///{tmp_path}/shared.db")
    here, there = (study_of(with_sweep(config, tmp_path / name)) for name in ("here", "there"))
    with claimed(there):
        with claimed(here) as taken:
            assert taken is None
        (trial,) = there.trials(TrialState.RUNNING)
        monkeypatch.setattr(here.storage, "_get_stale_trial_ids", lambda _: [trial._trial_id])
        with claimed(here) as taken:
            assert taken is not None


def test_other_settings_are_refused_with_the_difference(bare_config: Sweep, study_of: Open) -> None:
    config = bare_config()
    study_of(config).note("identity", identity_of(config, "pairs"))
    for changed, told in (
        (bare_config("trainer.batch_size=8"), "trainer.batch_size was 4, is 8"),
        (bare_config(sampler="random"), "sweep.sampler was tpe, is random"),
        (bare_config(space={"trainer.epochs": {"choices": [1, 3]}}), "sweep.space.trainer.epochs.choices was [1, 2]"),
        (bare_config(seed=1), "sweep.seed was 42, is 1"),
    ):
        with pytest.raises(UserError) as refused:
            stay_the_same(SweepStudy(changed, {}), identity_of(changed, "pairs"))
        assert told in str(refused.value)
    with pytest.raises(UserError, match="pairs was pairs, is others"):
        stay_the_same(SweepStudy(config, {}), identity_of(config, "others"))


def test_what_does_not_change_the_result_may_change(bare_config: Sweep, study_of: Open) -> None:
    config = bare_config()
    study_of(config).note("identity", identity_of(config, "pairs"))
    other = bare_config("tracking.models=false", trials=30, workers=2, failures=9)
    stay_the_same(SweepStudy(other, {}), identity_of(other, "pairs"))


def test_a_database_that_cannot_be_opened_is_one_sentence(bare_config: Sweep) -> None:
    with pytest.raises(UserError, match=r"sweep\.storage=127\.0\.0\.1:1/none: expected a database"):
        SweepStudy(bare_config(storage="postgresql://somebody:secret@127.0.0.1:1/none"), {})


def test_a_winner_that_another_machine_has_trained_is_trained_again_here(
    bare_config: Sweep, study_of: Open, runner_of: Make
) -> None:
    study = study_of(bare_config(trials=2, pruner="none"))
    runner = runner_of(study)
    runner.work("parent")
    trial = best_first(study)[0]
    unknown = Interval(0, 0)
    winner = Standing(trial.number, trial.params, 0.0, 0.0, unknown, unknown)
    here = study.trial_folder(trial.number)
    assert model_folder(study, winner, runner.trainings, "parent") == here
    shutil.rmtree(here)
    runner.trainings.values.clear()  # type: ignore[attr-defined]
    again = model_folder(study, winner, runner.trainings, "parent")
    assert (again / "model").is_dir()
    assert runner.trainings.values == {trial.number: trial.params}  # type: ignore[attr-defined]


def test_trainings_of_any_length_are_compared_at_the_same_points(bare_config: Sweep, study_of: Open) -> None:
    config = bare_config(trials=6, pruner="none")
    study = study_of(config)
    points = []
    for steps in (9, 57, 61, 122, 183, 1000):
        with claimed(study) as claim:
            assert claim is not None
            listener = TrialListener(claim, plain(config), evaluations=8)
            listener.on_start(steps, 0)
            for step in (*range(interval := -(-steps // 8), steps, interval), steps):
                listener.on_row(CurveRow(step / steps, step, 0.1, 0.1, step / steps, 0.5))
            study.tell(claim.number, 1.0)
            points.append(list(study.trials()[claim.number].intermediate_values))
    assert points[1:] == [[12, 25, 37, 50, 62, 75, 87, 100]] * 5
    assert set(points[0]) <= set(points[1])
