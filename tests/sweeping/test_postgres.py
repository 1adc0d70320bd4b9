"""Several machines: one PostgreSQL that is restarted, the same command in two folders, processes killed with -9."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import NamedTuple

import optuna
import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState

from src.config import SweepSettings
from src.sweeping.coordinator import join_study
from src.sweeping.leadership import Leadership
from src.sweeping.lease import acquire_trial
from src.sweeping.study import SweepStudy
from src.sweeping.trials import TrialRunner

pytestmark = [pytest.mark.postgres, pytest.mark.slow]
PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin")) if Path("/usr/lib/postgresql").is_dir() else []


class Server(NamedTuple):
    """A PostgreSQL server of this machine."""

    url: str
    start: Callable[[], None]
    stop: Callable[[], None]


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Server]:
    """A server with an empty database on a free port of this machine; PostgreSQL does not run as root."""
    assert PROGRAMS, "needs PostgreSQL: apt-get install postgresql"
    assert find_spec("psycopg"), "needs psycopg: pip install -e '.[postgres]'"
    folder = Path(tmp_path.root) / "tmp" / f"postgres-{os.getpid()}"  # its user cannot enter pytest's own folders
    folder.mkdir()
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(program: str, *arguments: str) -> None:
        line = [str(PROGRAMS[-1] / program), "-D", str(folder / "data"), *arguments]
        given = {"user": user} if os.geteuid() == 0 else {}
        subprocess.run(line, check=True, capture_output=True, cwd=folder, **given)  # type: ignore[call-overload]

    if os.geteuid() == 0:
        shutil.chown(folder, user)
    run("initdb", "-A", "trust", "-U", "sweeper", "--no-sync")
    options = f"-h 127.0.0.1 -p {port} -k {folder} -F"
    found = Server(
        f"postgresql://sweeper@127.0.0.1:{port}/postgres",
        lambda: run("pg_ctl", "start", "-w", "-o", options, "-l", str(folder / "log")),
        lambda: run("pg_ctl", "stop", "-m", "immediate"),
    )
    found.start()
    try:
        yield found
    finally:
        found.stop()
        shutil.rmtree(folder)


@pytest.fixture
def server(postgres: Server) -> str:
    """The address of an empty database."""
    return postgres.url


def opened(config: SweepSettings, folder: Path) -> tuple[SweepStudy, Leadership]:
    """Return the study as a machine with this result folder sees it, and the leadership, if that machine has it."""
    config = replace(config, folder=str(folder))
    study = SweepStudy(config)
    leadership = Leadership(study)
    join_study(study, leadership)
    return study, leadership


def test_two_machines_share_the_trials_and_a_killed_one_costs_only_its_trial(
    server: str,
    sweep_config: Callable[..., SweepSettings],
    make_runner: Callable[[SweepStudy], TrialRunner],
    tmp_path: Path,
) -> None:
    config = sweep_config(trials=6, pruner="none", storage=server, heartbeat=1)
    with ThreadPoolExecutor(2) as pool:
        machines = list(pool.map(lambda name: opened(config, tmp_path / name), ("here", "there")))
    (here, _), (there, _) = sorted(machines, key=lambda machine: not machine[1].acquire())
    assert [leadership.acquire() for _, leadership in machines].count(True) == 1
    here.fill_queue(6, None)
    dying = os.fork()
    if not dying:  # a machine that dies in the middle of a trial
        study, _ = opened(config, tmp_path / "lost")
        with acquire_trial(study) as lease:
            assert lease is not None
            lease.trial.suggest_float("trainer.learning_rate", 1e-4, 1e-2, log=True)
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(dying, 0)
    (lost,) = here.trials(TrialState.RUNNING)
    with acquire_trial(there) as other:
        assert other is not None
        assert other.number != lost.number
    runners = [make_runner(here), make_runner(there)]
    runners[0].run_all("parent")  # waits until the heartbeat of the lost machine has stopped
    runners[1].run_all("parent")
    assert len(here.trials(TrialState.COMPLETE)) == len(here.trials()) == 6
    again = here.trials()[lost.number]
    assert again.params["trainer.learning_rate"] == lost.params["trainer.learning_rate"]


def test_the_same_command_on_a_second_machine_runs_trials_and_may_be_killed(
    server: str, sweep_config: Callable[..., SweepSettings], start: Callable[..., ForkServerProcess], tmp_path: Path
) -> None:
    config = sweep_config(trials=8, pruner="none", storage=server, heartbeat=1, validation=0.4)
    config.sweep.confirm.seeds = 0
    first = start(replace(config, folder=str(tmp_path / "first")))
    wait_for(tmp_path, "first/sweep/trials/*/checkpoints/checkpoint-*", first)
    second = start(replace(config, folder=str(tmp_path / "second")))
    wait_for(tmp_path, "second/sweep/trials/*/checkpoints/checkpoint-*", first)
    second.kill()
    first.join()
    assert first.exitcode == 0
    trials = optuna.load_study(study_name="tiny", storage=server).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 8
    assert (tmp_path / "first" / "sweep" / "best.yaml").exists()
    client = MlflowClient(config.tracking.uri)
    runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}


def test_another_machine_takes_over_from_a_leader_that_is_killed(
    server: str, sweep_config: Callable[..., SweepSettings], start: Callable[..., ForkServerProcess], tmp_path: Path
) -> None:
    config = sweep_config(trials=3, pruner="none", storage=server, heartbeat=1, validation=0.4)
    config.sweep.confirm.seeds = 0
    first = start(replace(config, folder=str(tmp_path / "first")))
    wait_for(tmp_path, "first/sweep/trials/*/checkpoints/checkpoint-*", first)
    second = start(replace(config, folder=str(tmp_path / "second")))
    wait_for(tmp_path, "second/sweep/trials/*/checkpoints/checkpoint-*", first)
    first.kill()
    second.join()
    assert second.exitcode == 0
    assert (tmp_path / "second" / "sweep" / "best.yaml").exists()
    third = start(replace(config, folder=str(tmp_path / "third")))  # has nothing left to do
    third.join()
    assert third.exitcode == 0
    assert not (tmp_path / "third" / "sweep" / "winner").exists()


def test_a_server_that_is_restarted_is_waited_for_and_keeps_the_leader(
    postgres: Server,
    sweep_config: Callable[..., SweepSettings],
    make_runner: Callable[[SweepStudy], TrialRunner],
    tmp_path: Path,
) -> None:
    study, leadership = opened(sweep_config(trials=3, pruner="none", storage=postgres.url), tmp_path / "here")
    study.fill_queue(3, None)
    runner = make_runner(study)
    postgres.stop()
    with ThreadPoolExecutor(1) as pool:
        trials = pool.submit(runner.run_all, "parent")
        assert not trials.done()
        postgres.start()
        trials.result()
    assert study.done == 3
    assert leadership.acquire()
    assert not opened(study.config, tmp_path / "there")[1].acquire()


def wait_for(folder: Path, pattern: str, process: ForkServerProcess) -> None:
    while not any(folder.glob(pattern)):
        assert process.is_alive()
        process.join(0.01)
