"""Trainings recorded by a real MLflow server that stops and starts again."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as Recorded

from src.config import Config
from src.data import load_examples
from src.encoder import load_encoder
from src.evaluation.metrics import LEARNING_RATE, PEARSON, SPEARMAN, TRAINING_LOSS, VALIDATION_LOSS
from src.evaluation.result import Result
from src.pipeline.training import LOG_FILE, run_training
from src.report.files import artifacts
from src.sync import run as sync
from src.tracking.journal import FILE
from src.tracking.journal_search import find_journals
from src.training.callbacks import CurveRow
from src.utils.console import setup_logging

pytestmark = pytest.mark.slow

TinyConfig = Callable[..., Config]
VARYING = {"result.run_id", "result.model_version", "journal", "folder", "mlflow.runName"}
"""Tags that differ between runs."""


class Server:
    """`mlflow server` on a free port of this machine; keeps port and files when it is started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        store = [f"--backend-store-uri=sqlite:///{self.folder}/mlflow.db", f"--artifacts-destination={self.folder}/art"]
        line = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={self.port}", "--workers=1"]
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*line, *store], env=environment, stdout=log, stderr=log, start_new_session=True
            )
        while not self.answers():
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            time.sleep(0.1)

    def answers(self) -> bool:
        try:
            return bool(urlopen(f"{self.uri}/health", timeout=5).status == 200)
        except (URLError, OSError):
            return False

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Story(NamedTuple):
    """Records of three trainings with the same settings, after all journals were sent."""

    undisturbed: Recorded
    interrupted: Recorded
    """The server stopped during the training."""
    unreachable: Recorded
    """The server was stopped from start to end of the training."""
    client: MlflowClient
    folder: Path
    unsent: list[dict[str, Any]]
    """Journal of the unreachable run before it was sent."""
    log: str
    """Messages of the unreachable run."""


class StopAt:
    """Stop the server at a step of a training."""

    def __init__(self, server: Server, step: int) -> None:
        self.server, self.step = server, step

    def on_train_begin(self, steps: int, step: int) -> None:
        pass

    def on_step(self, step: int, values: dict[str, float]) -> None:
        pass

    def on_evaluate(self, row: CurveRow) -> None:
        if row.step == self.step:
            self.server.stop()


@pytest.fixture(scope="module")
def story(server: Server, tiny_config_in: TinyConfig, tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("story")

    def train(name: str, *callbacks: Any) -> str:
        places = ["trainer.precision=fp32", "tracking.artifacts=null", f"tracking.uri={server.uri}"]
        config = tiny_config_in(folder, *places, f"folder={folder}/{name}")
        return run_training(config, load_examples(config.data), load_encoder(config.model), callbacks).run_id

    setup_logging()
    train("undisturbed")
    train("interrupted", StopAt(server, 6))
    key = train("unreachable")
    (journal,) = find_journals(folder / "unreachable")
    assert journal.name == key
    lines = [json.loads(line) for line in (journal / FILE).read_text(encoding="utf-8").splitlines()]
    server.start()
    for _ in range(2):
        sync([folder, f"uri={server.uri}"])
    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name("tiny").experiment_id
    runs = {Path(run.data.tags["folder"]).name: run for run in client.search_runs([experiment])}
    assert len(client.search_runs([experiment])) == 3
    log = (folder / "unreachable" / LOG_FILE).read_text(encoding="utf-8")
    return Story(**runs, client=client, folder=folder, unsent=lines, log=log)


def curve(story: Story, run: Recorded, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in story.client.get_metric_history(run.info.run_id, name)]


@pytest.mark.parametrize("name", ["interrupted", "unreachable"])
def test_a_run_is_recorded_as_if_its_server_had_not_been_down(name: str, story: Story) -> None:
    run, undisturbed = getattr(story, name), story.undisturbed
    assert run.info.status == "FINISHED"
    assert {**run.data.params, "folder": ""} == {**undisturbed.data.params, "folder": ""}
    tags, expected = ({k: v for k, v in each.data.tags.items() if k not in VARYING} for each in (run, undisturbed))
    assert tags == expected
    assert run.data.tags.keys() == undisturbed.data.tags.keys()
    assert run.data.tags["result.run_id"] == run.info.run_id
    inputs, expected_inputs = (
        sorted((given.tags[0].value, given.dataset.digest) for given in each.inputs.dataset_inputs)
        for each in (run, undisturbed)
    )
    assert inputs == expected_inputs
    assert run.data.metrics.keys() == undisturbed.data.metrics.keys()
    for metric in (TRAINING_LOSS, VALIDATION_LOSS, SPEARMAN, PEARSON, LEARNING_RATE, "epoch"):
        assert curve(story, run, metric) == curve(story, undisturbed, metric), metric


@pytest.mark.parametrize("name", ["interrupted", "unreachable"])
def test_files_and_model_are_recorded_completely_and_once(name: str, story: Story, tmp_path: Path) -> None:
    run = getattr(story, name)
    for file in artifacts(story.folder / name, Result.load(story.folder / name)):
        stored = Path(story.client.download_artifacts(run.info.run_id, file, str(tmp_path)))
        assert stored.read_bytes() == (story.folder / name / file).read_bytes(), file
    (model,) = story.client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    (version,) = story.client.search_model_versions(f"run_id = '{run.info.run_id}'")
    assert version.source == f"models:/{model.model_id}" or model.model_id in str(version.source)
    assert run.data.tags["result.model_version"] == str(version.version)


def test_models_are_ordered_by_score_with_the_data_set_it_was_measured_on(story: Story) -> None:
    run = story.undisturbed
    order = [{"field_name": f"metrics.{SPEARMAN}", "ascending": False}]
    models = list(story.client.search_logged_models([run.info.experiment_id], order_by=order))
    assert len(models) == 3
    inputs = {given.tags[0].value: given.dataset for given in run.inputs.dataset_inputs}
    for model in models:
        metrics = {each.key: each for each in model.metrics}
        assert metrics.keys() == Result.load(story.folder / "undisturbed").reported.keys()
        assert metrics[SPEARMAN].value == run.data.metrics[SPEARMAN]
        assert {each.dataset_digest for each in model.metrics} == {inputs["evaluation"].digest}
        assert {each.dataset_name for each in model.metrics} == {inputs["evaluation"].name}


def test_times_are_those_of_the_training_not_of_sending(story: Story) -> None:
    times = {
        (name, line["values"]["step"], line["at"])
        for line in story.unsent
        if line.get("name") in ("metrics", "model")
        for name in line["values"]["values" if line["name"] == "metrics" else "metrics"]
    }
    info = story.unreachable.info
    for metric in story.unreachable.data.metrics:
        points = story.client.get_metric_history(info.run_id, metric)
        assert {(metric, point.step, point.timestamp) for point in points} <= times
        assert [point.timestamp for point in points] == sorted(point.timestamp for point in points)
    assert (info.start_time, info.end_time) == (story.unsent[1]["at"], story.unsent[-1]["at"])


def test_the_summary_says_what_is_behind_and_what_to_do(story: Story) -> None:
    (line,) = [line for line in story.log.splitlines() if line.startswith("tracking ")]
    assert "python -m src.sync" in line
    assert str(story.folder / "unreachable" / "journal") in line


def test_no_journal_is_left(story: Story) -> None:
    assert not [path for path in story.folder.rglob("*") if "journal" in path.name]
