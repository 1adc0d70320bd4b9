"""Leases: each trial runs in one process at a time, and a killed process loses none."""

import os
import random
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from src.config import SweepSettings
from src.sweeping import lease as leases
from src.sweeping.lease import acquire_trial, is_held, requeue_stale_trials
from src.sweeping.storage import PatientStorage
from src.sweeping.study import SweepStudy, trial_id
from src.sweeping.trials import TrialRunner
from tests.sweeping.test_study import outcome, with_sweep

Sweep = Callable[..., SweepSettings]
Open = Callable[[SweepSettings], SweepStudy]
Make = Callable[[SweepStudy], TrialRunner]
WRITES = (
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

    for name in WRITES:
        setattr(PatientStorage, name, dying(getattr(PatientStorage, name)))
    try:
        make(study()).run_all("parent")
    finally:
        os._exit(0)


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_a_sweep_killed_at_ten_random_moments_ends_as_an_uninterrupted_one(
    pruner: str,
    sweep_config: Sweep,
    open_study: Open,
    make_runner: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leases, "ATTEMPTS", 11)  # the kills are no fault of the trials
    config = sweep_config(trials=8, pruner=pruner)
    uninterrupted = open_study(config)
    make_runner(uninterrupted).run_all("parent")
    killed = with_sweep(config, tmp_path / "killed")
    moments = random.Random(7)
    signals = [run_and_die(lambda: open_study(killed), make_runner, moments.randint(1, 20)) for _ in range(10)]
    assert signals == [signal.SIGKILL] * 10
    study = open_study(killed)
    make_runner(study).run_all("parent")
    assert outcome(study) == outcome(uninterrupted)
    assert len(study.trials()) == 8


def test_workers_that_share_a_file_run_each_trial_once(
    sweep_config: Sweep, open_study: Open, make_runner: Make
) -> None:
    config = sweep_config(trials=12)
    open_study(config)

    def work(_: int) -> list[int]:
        runner = make_runner(SweepStudy(config))
        runner.run_all("parent")
        return sorted(runner.trainings.params)  # type: ignore[attr-defined]

    with ThreadPoolExecutor(3) as pool:
        shares = list(pool.map(work, range(3)))
    assert sorted(number for share in shares for number in share) == list(range(12))


def test_a_trial_is_not_acquired_twice(sweep_config: Sweep, open_study: Open) -> None:
    config = sweep_config(trials=2)
    first, second = open_study(config), open_study(config)
    with acquire_trial(first) as one, acquire_trial(second) as other:
        assert one is not None
        assert other is not None
        assert {one.number, other.number} == {0, 1}
        with acquire_trial(second) as none_left:
            assert none_left is None


def test_a_trial_that_runs_elsewhere_meanwhile_is_left_there(sweep_config: Sweep, open_study: Open) -> None:
    study = open_study(sweep_config(trials=1))
    with acquire_trial(study) as lease:
        assert lease is not None and is_held(study, lease.trial)
        study.storage.set_trial_user_attr(trial_id(lease.trial), "location", "another machine:/sweep")
        assert not is_held(study, lease.trial)
    (trial,) = study.trials()
    assert (trial.state, trial.user_attrs["location"]) == (TrialState.RUNNING, "another machine:/sweep")


def test_a_trial_that_ends_during_the_search_for_stale_ones_keeps_its_outcome(
    sweep_config: Sweep, open_study: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = sweep_config(trials=1)
    first, second = open_study(config), open_study(config)
    with acquire_trial(first) as lease:
        assert lease is not None
        seen = second.trials(TrialState.RUNNING)
        first.tell(lease.number, 0.5)
    monkeypatch.setattr(second, "trials", lambda *_: seen)
    requeue_stale_trials(second)
    assert [trial.value for trial in first.trials(TrialState.COMPLETE)] == [0.5]


def test_a_trial_of_another_machine_runs_again_only_after_its_heartbeat_has_stopped(
    sweep_config: Sweep, open_study: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = sweep_config(trials=1, storage=f"sqlite:///{tmp_path}/shared.db")
    here, there = (open_study(replace(config, folder=str(tmp_path / name))) for name in ("here", "there"))
    with acquire_trial(there):
        with acquire_trial(here) as taken:
            assert taken is None
        (trial,) = there.trials(TrialState.RUNNING)
        monkeypatch.setattr(leases, "stale_trial_ids", lambda _: [trial_id(trial)])
        with acquire_trial(here) as taken:
            assert taken is not None


def run_until_death(study: Callable[[], SweepStudy], make: Make, number: int, evaluations: int = 0) -> int:
    """Run a sweep in a forked process in which trial `number` dies after these evaluations; return its exit code."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    runner = make(study())
    run = runner.trainings.run

    def dying(*arguments: Any, **named: Any) -> Any:
        if int(arguments[2]["trial.number"]) == number:
            values = iter(range(1, evaluations + 1))
            runner.trainings.spearman = lambda *_: next(values, None) or os._exit(9)  # type: ignore
        return run(*arguments, **named)

    runner.trainings.run = dying  # type: ignore[method-assign]
    try:
        runner.run_all("parent")
    finally:
        os._exit(0)


def test_a_trial_that_takes_its_process_with_it_fails_the_second_time(
    sweep_config: Sweep, open_study: Open, make_runner: Make
) -> None:
    config = sweep_config(trials=3, pruner="none")
    assert run_until_death(lambda: open_study(config), make_runner, 1) == 9
    assert run_until_death(lambda: open_study(config), make_runner, 1) == 9
    assert run_until_death(lambda: open_study(config), make_runner, 1) == 0
    study = open_study(config)  # the next start adds another trial in its place
    make_runner(study).run_all("parent")
    assert [trial.state.name for trial in study.trials()] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert study.trials()[1].user_attrs["reason"] == "its process died twice at 0 % of the training (out of memory?)"


def test_deaths_of_a_trial_that_progresses_in_between_do_not_fail_it(
    sweep_config: Sweep, open_study: Open, make_runner: Make
) -> None:
    config = sweep_config(trials=1, pruner="none")
    for evaluations in (1, 2, 3):
        assert run_until_death(lambda: open_study(config), make_runner, 0, evaluations) == 9
    study = open_study(config)
    make_runner(study).run_all("parent")
    assert [trial.state.name for trial in study.trials()] == ["COMPLETE"]
    assert study.trials()[0].user_attrs["died_at"] == [25, 50, 75]


def test_an_interrupted_trial_waits_with_its_params(
    sweep_config: Sweep, open_study: Open, make_runner: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = open_study(sweep_config(trials=3))
    runner = make_runner(study)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(runner.trainings, "run", interrupted)
        runner.run_all("parent")
    (waiting,) = [trial for trial in study.trials(TrialState.WAITING) if trial.params]
    runner.run_all("parent")
    assert runner.trainings.params[0] == waiting.params  # type: ignore[attr-defined]
    assert study.done == 3
