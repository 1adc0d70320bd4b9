"""Trainings killed with kill -9: the same command ends as if undisturbed.

SOAK=30 (make soak) gives the number of kills; by default there are two. A third of them hit the replacement of the
result, the plots and the registration, which are short; the others are random.
"""

import json
import os
import random
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mlflow import MlflowClient

from src.pipeline.state import state_file
from tests.conftest import write_pairs

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("SOAK", "2"))
SAME = (
    "spearman_cosine",
    "spearman_cosine_low",
    "pearson_cosine",
    "validation_loss",
    "spearman_cosine_before",
    "steps",
)
CURVES = ("training_loss", "learning_rate", "validation_loss", "spearman_cosine", "pearson_cosine", "epoch")
IDS = re.compile(r"[0-9a-f]{32}")
LOG = re.compile(r"### Training Logs\n(.*?)\n#", re.DOTALL)

FINISHED = ("FINISHED", True)
MOMENTS = (
    ("src.tracking.writer:register_model", 1),
    ("src.report.files:draw_plots", 1),  # between the model and metrics.json
    ("src.utils.staging:_move", 4),
    ("src.tracking.writer:log_model", 1),
    ("src.report.plots:save_figure", 3),
    ("src.evaluation.result:Result.save", 2),  # with the registered version
    ("src.utils.staging:_move", 1),
    ("src.tracking.run:Run.log_result", 1),
    ("src.evaluation.result:Result.save", 1),
    ("src.tracking.run:Run.end", 1),
)
"""Functions and the numbers of the calls before which a training is killed."""

Start = Callable[..., BaseProcess]


class Outcome(NamedTuple):
    """Everything a training leaves in its folder and its store."""

    metrics: dict[str, Any]
    curves: dict[str, list[tuple[int, float]]]
    """Steps and values of the finished run in MLflow."""
    log: str
    """Training log of the model card."""
    files: Counter[str]
    """All files of the result and the store, without the ids of runs and models."""
    runs: Counter[tuple[str, bool]]
    """States of the runs, and whether anything is recorded in them."""
    versions: int


def outcome(folder: Path) -> Outcome:
    result = folder / "experiments" / "tiny"
    metrics = json.loads((result / "metrics.json").read_text(encoding="utf-8"))
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    points = {name: client.get_metric_history(metrics["run_id"], name) for name in CURVES}
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    found = LOG.search((result / "model" / "README.md").read_text(encoding="utf-8"))
    assert found
    return Outcome(
        metrics={name: metrics[name] for name in SAME},
        curves={name: sorted({(point.step, point.value) for point in history}) for name, history in points.items()},
        log=found[1],
        files=Counter(IDS.sub("ID", name) for name in files),
        runs=Counter((run.info.status, bool(run.data.metrics)) for run in runs),
        versions=len(client.search_model_versions("name = 'tiny'")),
    )


def prepare(folder: Path, store: Path | None) -> None:
    """Write the pairs; without a store the training makes one."""
    write_pairs(folder / "pairs.csv")
    if store:
        (folder / "mlruns").mkdir()
        shutil.copy(store, folder / "mlruns" / "mlflow.db")


@pytest.fixture(scope="module")
def undisturbed(
    start_training: Start, empty_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Outcome, float]:
    """The outcome of a training without a kill, and the seconds it takes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    prepare(folder, empty_store)
    process = start_training(folder)
    began = time.monotonic()
    process.join()
    assert process.exitcode == 0
    return outcome(folder), time.monotonic() - began


@pytest.mark.parametrize("kill", range(KILLS))
def test_a_killed_training_ends_as_if_undisturbed(
    kill: int, undisturbed: tuple[Outcome, float], start_training: Start, empty_store: Path, tmp_path: Path
) -> None:
    expected, seconds = undisturbed
    prepare(tmp_path, empty_store if kill % 3 else None)
    if kill % 3 == 1:
        place, call = MOMENTS[kill // 3 % len(MOMENTS)]
        first = start_training(tmp_path, signals=[(place, call, signal.SIGKILL)])
        first.join()
        assert first.exitcode == -signal.SIGKILL
    else:
        first = start_training(tmp_path)
        first.join((kill + random.Random(kill).random()) / KILLS * seconds)
        first.kill()
        first.join()
    result = tmp_path / "experiments" / "tiny"
    state = state_file(result).load()
    over = state is not None and state.done
    second = start_training(tmp_path)
    second.join()
    assert first.exitcode in (-signal.SIGKILL, 0) and second.exitcode == 0
    found = outcome(tmp_path)
    for name in ("metrics", "curves", "log"):
        assert getattr(found, name) == getattr(expected, name), name
    assert found.runs[FINISHED] == found.versions == 1 + over  # a finished training is not resumed
    assert set(found.runs) <= {FINISHED, ("KILLED", False)}
    if not over:
        assert found.files == expected.files
