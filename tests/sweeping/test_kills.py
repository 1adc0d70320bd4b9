"""A sweep of real trainings, killed with -9 at random moments, ends as one that nobody disturbed."""

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow import MlflowClient

import src.sweep
from src.config import SweepSettings
from src.config.sweep import ConfirmConfig
from src.tracking import PARENT

KILLS = int(os.environ.get("SWEEP_KILLS", "3"))
TRIALS = max(4, KILLS)


def start(config: SweepSettings) -> ForkServerProcess:
    """Start the sweep in a process of its own, forked from one that has imported everything."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["src.sweep"])
    process = context.Process(target=src.sweep.run, args=(config,))
    process.start()
    return process


def to_its_end(config: SweepSettings) -> float:
    """Run the sweep and return its seconds."""
    started = time.monotonic()
    process = start(config)
    process.join()
    assert process.exitcode == 0
    return time.monotonic() - started


def trials_of(folder: Path) -> list[Any]:
    storage = f"sqlite:///{folder}/result/sweep/study.db"
    trials = optuna.load_study(study_name="tiny", storage=storage).trials
    return [(each.number, each.state.name, each.params, each.value, each.intermediate_values) for each in trials]


@pytest.fixture
def make(
    sweep_config_in: Callable[..., SweepSettings], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], tuple[SweepSettings, Path]]:
    """Configure the same sweep in a new folder."""

    def made() -> tuple[SweepSettings, Path]:
        folder = tmp_path_factory.mktemp("sweep")
        confirm = ConfirmConfig(top_k=2, seeds=1)
        return sweep_config_in(folder, trials=TRIALS, confirm=confirm, validation=0.4), folder

    return made


def test_killed_at_random_moments_a_sweep_has_its_trials_and_its_winner(
    make: Callable[[], tuple[SweepSettings, Path]],
) -> None:
    (undisturbed, whole), (disturbed, broken) = make(), make()
    to_its_end(undisturbed)
    startup = to_its_end(undisturbed)  # there is nothing left to do
    work = sum(
        trial.user_attrs["seconds"]
        for trial in optuna.load_study(study_name="tiny", storage=f"sqlite:///{whole}/result/sweep/study.db").trials
    )
    moments = random.Random(7)
    killed = 0
    for _ in range(KILLS):
        process = start(disturbed)
        process.join(moments.uniform(0, startup + work / (2 * KILLS)))
        process.kill()
        process.join()
        killed += process.exitcode != 0
    to_its_end(disturbed)
    assert killed > KILLS / 2
    assert trials_of(broken) == trials_of(whole)
    best = [(folder / "result" / "sweep" / "best.yaml").read_text(encoding="utf-8") for folder in (broken, whole)]
    assert best[0] == best[1]
    client = MlflowClient(disturbed.tracking.uri)
    runs = list(client.search_runs([client.get_experiment_by_name("tiny").experiment_id]))
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
    (parent,) = [run.info.run_id for run in runs if run.data.tags["role"] == "sweep"]
    trials = [run for run in runs if run.data.tags["role"] == "trial"]
    assert {run.data.tags[PARENT] for run in trials} == {parent}
    ended = Counter(int(run.data.tags["trial.number"]) for run in trials if run.info.status == "FINISHED")
    assert ended == Counter(number for number, state, *_ in trials_of(broken) if state == "COMPLETE")
