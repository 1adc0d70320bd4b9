"""Leadership: one process leads a sweep, and another takes over once that one has ended without a winner."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.trial import TrialState

from src.config import SweepSettings
from src.data import load_examples
from src.sweeping import coordinator
from src.sweeping.coordinator import ended_elsewhere, join_study, run_follower
from src.sweeping.leadership import Leadership
from src.sweeping.space import training_config
from src.sweeping.study import SweepStudy, plan_sweep, trial_id
from src.sweeping.trainings import split_validation
from src.sweeping.trials import TrialRunner
from src.tracking import start_run
from tests.sweeping.test_study import with_sweep
from tests.tracking.conftest import locked, recorded_runs

Sweep = Callable[..., SweepSettings]
Make = Callable[[SweepStudy], TrialRunner]


@pytest.fixture
def machines(sweep_config: Sweep, tmp_path: Path) -> list[SweepStudy]:
    """The study of one sweep as two machines see it, which share its database."""
    config = sweep_config(trials=2, pruner="none", storage=f"sqlite:///{tmp_path}/shared.db")
    return [SweepStudy(with_sweep(config, tmp_path / name)) for name in ("here", "there")]


def join(study: SweepStudy) -> Leadership:
    leadership = Leadership(study)
    join_study(study, leadership)
    return leadership


def test_one_process_leads_and_another_takes_over_when_it_ends(machines: list[SweepStudy]) -> None:
    first, second = map(join, machines)
    assert (first.acquire(), second.acquire()) == (True, False)
    first.close()
    assert second.acquire()
    second.close()


def test_the_leader_of_a_study_may_return_under_another_host_name(
    machines: list[SweepStudy], monkeypatch: pytest.MonkeyPatch
) -> None:
    join(machines[0]).close()
    monkeypatch.setattr("socket.gethostname", lambda: "another-container")
    again = SweepStudy(machines[0].config)
    assert again.location != machines[0].location
    with closing(join(again)) as leadership:
        assert leadership.acquire()


@pytest.fixture
def follow(make_runner: Make, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """Run a follower whose trials are instant; `during`: what happens meanwhile; return whether it has to lead then."""

    def followed(study: SweepStudy, leadership: Leadership, during: Callable[[], None] = lambda: None) -> bool:
        def run_trials(*_: Any) -> None:
            make_runner(study).run_all("parent")
            during()

        monkeypatch.setattr(coordinator, "run_trials", run_trials)
        monkeypatch.setattr(coordinator, "check_tracking", lambda *_: None)
        parts = split_validation(study.config, load_examples(study.config.data))
        return run_follower(study, parts, leadership)

    return followed


def start_leading(study: SweepStudy) -> None:
    parts = split_validation(study.config, load_examples(study.config.data))
    study.fill_queue(2, None)
    study.state.save(plan_sweep(study, parts).state("parent"))


def test_a_follower_leaves_the_winner_to_a_living_leader(
    machines: list[SweepStudy], follow: Callable[..., bool], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = map(join, machines)
    start_leading(machines[0])
    assert not follow(machines[1], second)
    assert f"{machines[0].location}, the leader, confirms the best ones" in capsys.readouterr().out
    first.close()


def test_a_follower_leads_if_the_leader_has_ended_without_a_winner(
    machines: list[SweepStudy], follow: Callable[..., bool], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = map(join, machines)
    start_leading(machines[0])
    assert follow(machines[1], second, during=first.close)
    assert "has ended without a winner: this process leads now" in capsys.readouterr().out
    second.close()


def test_a_follower_leads_if_the_leader_has_ended_before_the_first_trial(
    machines: list[SweepStudy], follow: Callable[..., bool]
) -> None:
    first, second = map(join, machines)
    first.close()
    assert follow(machines[1], second)
    second.close()


def test_a_follower_waits_for_the_further_trials_of_a_sweep(
    machines: list[SweepStudy], follow: Callable[..., bool], make_runner: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = map(join, machines)
    start_leading(machines[0])
    make_runner(machines[0]).run_all("parent")
    machines[1].config.sweep.trials = 3
    monkeypatch.setattr(coordinator.time, "sleep", lambda _: machines[0].fill_queue(3, None))
    assert not follow(machines[1], second)
    assert machines[1].done == 3
    first.close()


def test_a_follower_runs_trials_at_once_also_after_one_has_failed(
    machines: list[SweepStudy], follow: Callable[..., bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = map(join, machines)
    start_leading(machines[0])
    machines[0].storage.set_trial_state_values(trial_id(machines[0].trials()[0]), TrialState.FAIL)
    monkeypatch.setattr(coordinator.time, "sleep", lambda _: pytest.fail("waited beside a waiting trial"))
    assert not follow(machines[1], second)
    assert machines[1].done == 1
    first.close()


def test_a_follower_sends_what_its_runs_could_not_record(
    machines: list[SweepStudy], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = machines[1].config
    trial = replace(training_config(config), folder=str(machines[1].folder / "trials" / "0000"))
    with start_run(trial, {}):
        pass
    with locked(trial), start_run(trial, {}) as late:
        late.log_metrics({"loss": 1.0}, 1)
    leadership = join(machines[0])
    monkeypatch.setattr(coordinator, "run_follower", lambda *_: False)
    assert coordinator.run_sweep(config, load_examples(config.data)) is None
    assert [run.data.metrics.get("loss") for run in recorded_runs(trial)] == [1.0, None]
    leadership.close()


def test_the_winner_is_left_to_another_leader(
    machines: list[SweepStudy],
    make_runner: Make,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = map(join, machines)
    monkeypatch.setattr(coordinator, "confirm", lambda *_: pytest.fail("confirmed the trials a second time"))
    nothing: Any = SimpleNamespace(run_id="parent", metric=None)
    assert coordinator.conclude(machines[1], nothing, nothing, nothing, second) is None
    assert "has become the leader, and trains the winner" in capsys.readouterr().out
    start_leading(machines[0])
    make_runner(machines[0]).run_all("parent")
    machines[0].set_end(1)
    first.close()
    assert coordinator.conclude(machines[1], nothing, nothing, nothing, second) is None
    assert f"trial 1 has won, and is trained in {machines[0].location}" in capsys.readouterr().out
    second.close()


def test_a_sweep_that_has_ended_elsewhere_is_not_repeated_unless_more_trials_are_wanted(
    machines: list[SweepStudy], make_runner: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = map(join, machines)
    start_leading(machines[0])
    make_runner(machines[0]).run_all("parent")
    machines[0].set_end(1)
    first.close()
    assert not ended_elsewhere(machines[0])
    assert ended_elsewhere(machines[1])
    assert f"trial 1 has won, and is trained in {machines[0].location}" in capsys.readouterr().out
    machines[1].config.sweep.trials = 3
    assert not ended_elsewhere(machines[1])
    second.close()


def test_a_sweep_of_an_earlier_version_is_resumed_with_a_note_on_its_objective(
    machines: list[SweepStudy], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study, leadership = machines[0], join(machines[0])
    start_leading(study)
    state = study.state.load()
    assert state and state.fingerprint.pop("sweep.folds") == "0"
    study.state.save(state)
    resumed = []
    monkeypatch.setattr(coordinator, "known_run", lambda config, run_id: resumed.append(run_id))
    monkeypatch.setattr(coordinator, "search", lambda *_: None)
    monkeypatch.setattr(coordinator, "conclude", lambda *_: None)
    pairs = load_examples(study.config.data)
    with closing(leadership):
        coordinator.run_leader(study, pairs, split_validation(study.config, pairs), leadership)
    assert resumed == ["parent"]
    assert "Trials of an earlier version count with their best evaluation" in capsys.readouterr().out
