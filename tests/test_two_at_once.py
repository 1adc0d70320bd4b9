"""Two processes at once: in one folder the second stops and names the first, in two folders both train."""

import os
import signal
import socket
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from mlflow import MlflowClient

import src.train
from src.config import Config
from src.config.tracking import TrackingConfig
from src.tracking.store import open_store
from src.utils.errors import UserError
from src.utils.files import exclusive_lock
from tests.conftest import write_pairs

pytestmark = pytest.mark.slow
Start = Callable[..., BaseProcess]


def test_the_second_in_a_folder_stops_at_once_and_names_the_first_and_a_dead_one_does_not_block(
    start_training: Start, compose: Callable[..., Config], tmp_path: Path
) -> None:
    write_pairs(tmp_path / "pairs.csv")
    folder = tmp_path / "experiments" / "tiny"
    first = start_training(tmp_path, "trainer.epochs=100000")
    while not (folder / "state.json").exists():
        assert first.is_alive()
    config = compose(f"folder={folder}", "data=pairs", f"data.train={tmp_path}/pairs.csv", "name=tiny")
    owner = rf"process {first.pid} on {socket.gethostname()} since 2\d\d\d-\d\d-\d\dT[\d:+]+ running there"
    with pytest.raises(UserError, match=owner):
        src.train.run(config)
    os.kill(first.pid or 0, signal.SIGKILL)
    first.join()
    assert (folder / ".owner").exists()
    with exclusive_lock(folder):
        assert f"process {os.getpid()} " in (folder / ".owner").read_text(encoding="utf-8")


def test_two_first_runs_share_a_store_that_is_created_meanwhile(start_training: Start, tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs.csv")
    names = ("one", "two")
    trainings = [start_training(tmp_path, f"name={name}") for name in names]
    for training in trainings:
        training.join()
    assert [training.exitcode for training in trainings] == [0, 0]
    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    for name in names:
        (run,) = client.search_runs([client.get_experiment_by_name(name).experiment_id])
        assert run.info.status == "FINISHED"
        assert (tmp_path / "experiments" / name / "metrics.json").exists()


def test_a_store_whose_creation_is_interrupted_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(_: MlflowClient) -> None:
        raise KeyboardInterrupt

    tracking = TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(MlflowClient, "search_experiments", killed)
    with pytest.raises(KeyboardInterrupt):
        open_store(tracking, "tiny")
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db.lock"]
