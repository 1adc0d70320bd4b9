"""Workers: a Ray cluster of this machine with a process that is killed, and the checks for several machines."""

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import optuna
import psutil
import pytest
from mlflow import MlflowClient

import src.sweep
from src.config import SweepSettings
from src.evaluation.result import Result
from src.sweeping import workers
from src.sweeping.workers import check_storage, check_tracking
from src.utils.errors import UserError


def kill_task(folder: Path, sweep: Future[Result | None]) -> int:
    """Kill the process of a task with -9 once a trial has a checkpoint, and return its process id."""
    while not any(folder.glob("trials/*/checkpoints/checkpoint-*")):
        if sweep.done():
            sweep.result()
            pytest.fail("the sweep ended without a checkpoint")
        time.sleep(0.01)
    cluster = psutil.Process().children(recursive=True)
    ports = [port for each in cluster for port in each.net_connections("inet") if port.status == psutil.CONN_LISTEN]
    assert {port.laddr.ip for port in ports} <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    tasks = [each for each in cluster if each.name().startswith("ray::run_worker")]
    os.kill(tasks[0].pid, signal.SIGKILL)
    return tasks[0].pid


def die_the_first_time(config: SweepSettings, _: str) -> None:
    marker = Path(config.folder)
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def die(*_: object) -> None:
    os._exit(9)


def stop_with_an_error(*_: object) -> None:
    sys.exit(2)


@pytest.mark.parametrize("codes", [{die: "9, 9, 9"}, {stop_with_an_error: "2"}])
def test_a_worker_that_dies_is_replaced_and_one_that_ends_with_an_error_is_not(
    codes: dict[Callable[..., None], str], sweep_config: Callable[..., SweepSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = sweep_config(workers=1, failures=2)
    monkeypatch.setattr(workers, "run_process", die_the_first_time)
    workers.run_processes(config, "parent")
    for run_process, expected in codes.items():
        monkeypatch.setattr(workers, "run_process", run_process)
        with pytest.raises(UserError, match=rf"found the exit codes \[{expected}\]"):
            workers.run_processes(config, "parent")


@pytest.mark.ray
@pytest.mark.slow
def test_the_trial_of_a_killed_task_is_run_again(
    sweep_config: Callable[..., SweepSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # not imported here, as Ray reads its environment at its import
    assert find_spec("ray"), "needs Ray: pip install -e '.[ray]'"
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    config = sweep_config(engine="ray", workers=2, trials=4, validation=0.4)
    config.sweep.confirm.seeds = 0
    folder = tmp_path / "result" / "sweep"
    with ThreadPoolExecutor(1) as pool:
        sweep = pool.submit(src.sweep.run, config)
        killed = kill_task(folder, sweep)
        assert sweep.result() is not None
    assert not psutil.pid_exists(killed)
    trials = optuna.load_study(study_name="tiny", storage=f"sqlite:///{folder}/study.db").trials
    assert len(trials) == 4
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}
    client = MlflowClient(config.tracking.uri)
    children = client.search_runs([client.get_experiment_by_name("tiny").experiment_id], "tags.role = 'trial'")
    assert Counter(child.data.tags["trial.number"] for child in children if child.info.status == "FINISHED") == Counter(
        str(trial.number) for trial in trials if trial.state.name == "COMPLETE"
    )
    assert {child.info.status for child in children} <= {"FINISHED", "KILLED"}


def test_several_machines_need_a_shared_database_and_a_shared_mlflow_store(
    sweep_config: Callable[..., SweepSettings],
) -> None:
    check_storage(sweep_config(), ["one"])
    check_storage(sweep_config(storage="postgresql://sweeper@host/sweep"), ["one", "other"])
    with pytest.raises(UserError, match=r"sweep\.storage must be a database for all 2 machines"):
        check_storage(sweep_config(), ["one", "other"])
    with pytest.raises(UserError, match="expected the sweep's run unknown in the MLflow store"):
        check_tracking(sweep_config(), "unknown")
