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
from tests.training.examples import make_set

pytestmark = pytest.mark.slow

SAME = ("trainer.precision=fp32", "trainer.eval_steps=5", "+model.dropout=0.0", "tracking.models=false")
"""Without dropout both trainings compute the same, but for the order of additions."""


def torchrun(folder: Path, *overrides: str) -> None:
    """Train in this folder in two processes."""
    line = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "src.train", *SAME]
    line += ["name=tiny", "data=pairs", "model=hub", "model.name=tests/tiny", *overrides]
    line += ["trainer.batch_size=4", "trainer.learning_rate=1e-3", "tracking.system_metrics=false"]
    environment = {**os.environ, "PYTHONPATH": str(CONF.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Encoder: tests/tiny") == 1


@pytest.mark.parametrize(("shape", "loss"), [("scored", "cosine_similarity"), ("triplets", "triplet")])
def test_two_processes_train_as_one_would_and_leave_one_run(
    shape: str,
    loss: str,
    tmp_path: Path,
    tiny_encoder_folder: Path,
    tiny_config_in: Callable[..., Config],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    examples = tmp_path / f"{shape}.csv"
    make_set(shape, 40).train.to_csv(str(examples))
    same = (f"data.train={examples}", f"data.dev={examples}", f"loss={loss}")
    torchrun(tmp_path, *same, f"model.path={tiny_encoder_folder}")
    alone = tiny_config_in(tmp_path_factory.mktemp("alone"), *SAME, *same)
    src.train.run(alone)
    expected = pd.read_csv(Path(alone.folder) / "curve.csv")
    found = pd.read_csv(tmp_path / "experiments" / "tiny" / "curve.csv")
    pd.testing.assert_frame_equal(found, expected, rtol=1e-3)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.tags["processes"] == "2"
    assert not (tmp_path / "experiments" / "tiny" / "checkpoints").exists()
    assert json.loads((tmp_path / "experiments" / "tiny" / "state.json").read_text())["done"] is True


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UserError, match=r"trainer\.batch_size must be a multiple of the 3 processes of torchrun"):
        check_batch_share(16)
