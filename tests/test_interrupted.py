"""A training that is interrupted in any phase ends with exit code 130 and its run as KILLED, and can be resumed."""

import json
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.test_soak import prepare

pytestmark = pytest.mark.slow

Start = Callable[..., BaseProcess]
PHASES = {
    "start-up": ("src.tracking.store:MlflowClient.log_batch", 1),
    "training": ("src.training.trainer:ExampleTrainer.compute_loss", 5),
    "registration": ("src.tracking.writer:register_model", 1),
}


@pytest.mark.parametrize(("phase", "number"), zip(PHASES, (signal.SIGHUP, signal.SIGINT, signal.SIGTERM), strict=True))
def test_an_interrupted_training_ends_as_killed_and_the_same_command_resumes_it(
    phase: str, number: int, start_training: Start, empty_store: Path, tmp_path: Path
) -> None:
    prepare(tmp_path, empty_store)
    first = start_training(tmp_path, signals=[(*PHASES[phase], number)])
    first.join()
    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    ids = [client.get_experiment_by_name("tiny").experiment_id]
    assert first.exitcode == 130
    assert [run.info.status for run in client.search_runs(ids)] == ["KILLED"]
    second = start_training(tmp_path)
    second.join()
    assert second.exitcode == 0
    finished = client.search_runs(ids, "attributes.status = 'FINISHED'")
    written = json.loads((tmp_path / "experiments" / "tiny" / "metrics.json").read_text(encoding="utf-8"))
    assert [run.info.run_id for run in finished] == [written["run_id"]]
