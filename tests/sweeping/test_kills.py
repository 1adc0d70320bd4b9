"""A sweep of real trainings, killed with -9 at random moments, ends as an uninterrupted one."""

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import optuna
import psutil
import pytest
from mlflow import MlflowClient
from optuna.trial import FrozenTrial

from src.config import SweepSettings
from src.config.commands import ConfirmConfig
from src.tracking import PARENT

pytestmark = pytest.mark.slow
Start = Callable[[SweepSettings], ForkServerProcess]
KILLS = int(os.environ.get("SWEEP_KILLS", "3"))
TRIALS = max(4, KILLS)


@pytest.fixture
def make(
    sweep_config_in: Callable[..., SweepSettings], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], SweepSettings]:
    """Configure the same sweep in a new folder."""

    def made() -> SweepSettings:
        folder = tmp_path_factory.mktemp("sweep")
        return sweep_config_in(folder, trials=TRIALS, confirm=ConfirmConfig(top_k=2, seeds=1), validation=0.4)

    return made


def seconds_of(process: ForkServerProcess) -> float:
    """Wait for the end of a sweep that was just started, and return its duration in seconds."""
    started = time.monotonic()
    process.join()
    assert process.exitcode == 0
    return time.monotonic() - started


def trials_of(config: SweepSettings) -> list[FrozenTrial]:
    return optuna.load_study(study_name="tiny", storage=f"sqlite:///{config.folder}/sweep/study.db").trials


def outcome(config: SweepSettings) -> list[object]:
    """Return the trials with their outcomes, and the chosen settings with their Spearman."""
    trials = [
        (each.number, each.state.name, each.params, each.value, each.intermediate_values) for each in trials_of(config)
    ]
    return [*trials, (Path(config.folder) / "sweep" / "best.yaml").read_text(encoding="utf-8")]


def test_a_sweep_killed_at_random_moments_has_the_trials_and_the_winner_of_an_uninterrupted_one(
    make: Callable[[], SweepSettings], start: Start
) -> None:
    uninterrupted, interrupted = make(), make()
    seconds_of(start(uninterrupted))
    startup = seconds_of(start(uninterrupted))  # nothing is left to do
    work = sum(trial.user_attrs["seconds"] for trial in trials_of(uninterrupted))
    moments, killed = random.Random(7), 0
    for _ in range(KILLS):
        process = start(interrupted)
        process.join(moments.uniform(0, startup + work / (2 * KILLS)))
        process.kill()
        process.join()
        killed += process.exitcode != 0
    seconds_of(start(interrupted))
    assert killed > KILLS / 2
    assert outcome(interrupted) == outcome(uninterrupted)
    check_runs(interrupted)


def test_a_sweep_killed_with_its_workers_is_resumed(sweep_config: Callable[..., SweepSettings], start: Start) -> None:
    config = sweep_config(trials=4, workers=2, validation=0.4, confirm=ConfirmConfig(top_k=1))
    first = start(config)
    while not any(Path(config.folder).glob("sweep/trials/*/checkpoints/checkpoint-*")):
        assert first.is_alive()
        first.join(0.01)
    first.kill()
    first.join()
    seconds_of(start(config))
    trials = trials_of(config)
    assert len(trials) == 4
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}
    check_runs(config)


def test_a_trial_that_kills_its_workers_fails_and_the_sweep_ends_with_a_winner(
    sweep_config: Callable[..., SweepSettings], start: Start
) -> None:
    config = sweep_config(trials=3, workers=2, validation=0.4, confirm=ConfirmConfig(top_k=1, seeds=0))
    sweep, killed = start(config), []
    while sweep.is_alive() and len(killed) < 2:
        for worker in psutil.Process(sweep.pid).children(recursive=True):
            with suppress(psutil.Error):
                if worker.pid not in killed and any("/0001/train.log" in file.path for file in worker.open_files()):
                    worker.kill()
                    killed.append(worker.pid)
    sweep.join()
    assert sweep.exitcode == 0
    trials = trials_of(config)
    assert [trial.state.name == "FAIL" for trial in trials] == [False, True, False, False]
    assert trials[1].user_attrs["reason"].startswith("its process died twice at 0 %")
    assert (Path(config.folder) / "sweep" / "best.yaml").exists()


def check_runs(config: SweepSettings) -> None:
    """Check that every run has ended, and that each finished trial has one child that has finished."""
    client = MlflowClient(config.tracking.uri)
    runs = list(client.search_runs([client.get_experiment_by_name("tiny").experiment_id]))
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
    finished = [run for run in runs if run.info.status == "FINISHED"]
    (parent,) = [run.info.run_id for run in finished if run.data.tags["role"] == "sweep"]
    children = [run.data.tags for run in finished if run.data.tags["role"] == "trial"]
    assert {tags[PARENT] for tags in children} == {parent}
    expected = Counter(str(trial.number) for trial in trials_of(config) if trial.state.name == "COMPLETE")
    assert Counter(tags["trial.number"] for tags in children) == expected
