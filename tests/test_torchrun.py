"""One training on two processes of torchrun: one run, one result, the same training."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

import src.train
from src.cli import CONF
from src.config import Config
from src.utils.errors import UserError
from src.utils.processes import check_batch_share

pytestmark = pytest.mark.slow

SAME = ("trainer.precision=fp32", "trainer.eval_steps=5", "+model.dropout=0.0", "tracking.models=false")
"""Without dropout both trainings compute the same, but for the order of additions."""


@pytest.fixture
def torchrun(tmp_path: Path, tiny_encoder_folder: Path, pairs_file: Path) -> Path:
    """The folder in which two processes have trained the tiny encoder."""
    line = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "src.train", *SAME]
    line += ["name=tiny", "data=pairs", f"data.train={pairs_file}", f"data.dev={pairs_file}"]
    line += ["model=hub", "model.name=tests/tiny", f"model.path={tiny_encoder_folder}"]
    line += ["trainer.batch_size=4", "trainer.learning_rate=1e-3", "tracking.system_metrics=false"]
    environment = {**os.environ, "PYTHONPATH": str(CONF.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Encoder: tests/tiny") == 1
    return tmp_path


def test_two_processes_train_as_one_would_and_leave_one_run(
    torchrun: Path, tiny_config_in: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory
) -> None:
    alone = tiny_config_in(tmp_path_factory.mktemp("alone"), *SAME)
    src.train.run(alone)
    expected = pd.read_csv(Path(alone.folder) / "curve.csv")
    found = pd.read_csv(torchrun / "experiments" / "tiny" / "curve.csv")
    pd.testing.assert_frame_equal(found, expected, rtol=1e-3)
    client = MlflowClient(f"sqlite:///{torchrun}/mlruns/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.tags["processes"] == "2"
    assert not (torchrun / "experiments" / "tiny" / "checkpoints").exists()
    assert json.loads((torchrun / "experiments" / "tiny" / "state.json").read_text())["done"] is True


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UserError, match=r"trainer\.batch_size must be a multiple of the 3 processes of torchrun"):
        check_batch_share(16)
