"""The main job: its result in the folder and in MLflow, and how it resumes."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from sentence_transformers import SentenceTransformer

import src.train
from src.config import Config
from src.evaluation.metrics import PEARSON, SPEARMAN
from src.evaluation.result import Result
from src.pipeline import training
from src.tracking import EXAMPLE, RECIPE
from src.tracking import run as tracking
from src.training import CurveRow
from src.training.trainer import ExampleTrainer
from src.utils.errors import UserError
from src.utils.files import exclusive_lock

TinyConfig = Callable[..., Config]


class Finished(NamedTuple):
    """A training that succeeded."""

    result: Result
    folder: Path
    client: MlflowClient


@pytest.fixture
def client(tmp_path: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")


@pytest.fixture(scope="module")
def finished(tiny_config_in: TinyConfig, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("finished")
    config = tiny_config_in(folder, "trainer.precision=fp32")
    return Finished(src.train.run(config), Path(config.folder), MlflowClient(config.tracking.uri))


def runs(client: MlflowClient) -> list[Run]:
    return list(client.search_runs([client.get_experiment_by_name("tiny").experiment_id]))


def test_the_folder_holds_the_complete_result(finished: Finished) -> None:
    result, folder, _ = finished
    written = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert written[SPEARMAN] == result.leading.value
    assert written["spearman_cosine_low"] <= result.leading.value <= written["spearman_cosine_high"]
    assert {"pearson_cosine", "run_id", "data_source", "train_seconds"} <= set(written)
    assert not any(isinstance(value, dict | list) for value in written.values())
    curve = pd.read_csv(folder / "curve.csv")
    assert (folder / "curve.csv").read_text(encoding="utf-8").splitlines()[1].startswith("0.0,0,,")
    assert curve[SPEARMAN].iloc[0] == written["spearman_cosine_before"]
    assert curve["step"].tolist() == [0, 3, 6, 9, 10]
    assert curve[SPEARMAN].iloc[-1] == result.leading.value
    assert (folder / "config.yaml").read_text(encoding="utf-8").startswith("name: tiny")
    assert (folder / "plots" / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert not list(folder.rglob("*.tmp"))


def test_the_saved_model_gives_the_predictions(finished: Finished) -> None:
    _, folder, _ = finished
    predictions = pd.read_parquet(folder / "predictions.parquet")
    assert predictions.columns.tolist() == ["sentence1", "sentence2", "gold", "predicted"]
    encoder = SentenceTransformer(str(folder / "model"), device="cpu")
    first, second = (encoder.encode(predictions[name].tolist()) for name in ("sentence1", "sentence2"))
    cosine = encoder.similarity_pairwise(first, second).numpy()
    np.testing.assert_allclose(cosine, predictions["predicted"], atol=1e-5)


def test_the_score_of_a_bf16_training_is_that_of_the_saved_model(tiny_config: TinyConfig) -> None:
    src.train.run(tiny_config("trainer.precision=bf16"))
    folder = Path(tiny_config().folder)
    predictions = pd.read_parquet(folder / "predictions.parquet")
    encoder = SentenceTransformer(str(folder / "model"), device="cpu")
    first, second = (encoder.encode(predictions[name].tolist()) for name in ("sentence1", "sentence2"))
    cosine = encoder.similarity_pairwise(first, second).numpy()
    np.testing.assert_allclose(cosine, predictions["predicted"], atol=1e-6)


def test_the_run_holds_parameters_curves_data_and_provenance(finished: Finished) -> None:
    result, _, client = finished
    run = client.get_run(result.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["trainer.learning_rate"] == "0.001"
    assert {"git.commit", "config.hash", "data.source", "model.base", "version.torch", "device"} <= set(run.data.tags)
    curve = client.get_metric_history(run.info.run_id, "spearman_cosine")
    assert [point.step for point in curve][:5] == [0, 3, 6, 9, 10]
    assert curve[0].value == result.before.value
    assert client.get_metric_history(run.info.run_id, "training_loss")[0].step > 0
    for name in (PEARSON, "training_loss", "validation_loss", "learning_rate"):
        assert client.get_metric_history(run.info.run_id, name), name
    assert run.data.metrics[SPEARMAN] == result.leading.value
    contexts = {tag.value for given in run.inputs.dataset_inputs for tag in given.tags}
    assert contexts == {"training", "evaluation"}
    assert re.fullmatch(r"[0-9a-f]{8} lr 0.001, warmup 0.1, 1 epoch, batch 4, tiny", run.data.tags[RECIPE])
    artifacts = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert {"config.yaml", "curve.csv", "predictions.parquet", "metrics.json", "plots"} <= artifacts


def test_the_registered_model_gives_the_same_embeddings_in_both_flavours(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, folder, _ = finished
    expected = SentenceTransformer(str(folder / "model"), device="cpu").encode(EXAMPLE)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", finished.client.tracking_uri)
    address = f"models:/tiny/{result.model_version}"
    np.testing.assert_allclose(mlflow.sentence_transformers.load_model(address).encode(EXAMPLE), expected, atol=1e-6)
    np.testing.assert_allclose(mlflow.pyfunc.load_model(address).predict(EXAMPLE), expected, atol=1e-6)


def test_the_same_command_twice_gives_the_same_metrics_and_a_new_version(tiny_config: TinyConfig) -> None:
    fixed = "trainer.precision=fp32"  # a probe under load can find the other
    first, second = src.train.run(tiny_config(fixed)), src.train.run(tiny_config(fixed, "trainer.resume=never"))
    assert (first.scores, first.validation_loss) == (second.scores, second.validation_loss)
    assert (first.model_version, second.model_version) == ("1", "2")


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("the disk of the moon"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_a_run_that_stops_early_is_recorded_as_such(
    error: BaseException,
    status: str,
    tiny_config: TinyConfig,
    client: MlflowClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(training, "save_result", broken)
    with pytest.raises(type(error)):
        src.train.run(tiny_config())
    (run,) = runs(client)
    assert run.info.status == status
    if status == "FAILED":
        assert "the disk of the moon" in run.data.tags["failure"]
    assert "mlflow.note.content" not in run.data.tags


def test_a_failed_run_leaves_the_former_result_unchanged(
    tiny_config: TinyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = src.train.run(tiny_config())
    folder = Path(tiny_config().folder)
    before = {path: path.stat().st_mtime_ns for path in (folder / "model").rglob("*")}

    save = SentenceTransformer.save_pretrained

    def broken(self: SentenceTransformer, path: str, **kwargs: object) -> None:
        if "checkpoint" in path:
            return save(self, path, **kwargs)
        Path(path).mkdir()
        (Path(path) / "config.json").write_text("{")
        raise OSError("No space left on device")

    monkeypatch.setattr(SentenceTransformer, "save_pretrained", broken)
    with pytest.raises(UserError, match=r"result: expected room for [\d,]+ bytes"):
        src.train.run(tiny_config("trainer.seed=1"))
    assert {path: path.stat().st_mtime_ns for path in (folder / "model").rglob("*")} == before
    assert json.loads((folder / "metrics.json").read_text())["run_id"] == former.run_id
    assert not list(folder.glob(".*tmp"))


class Killed(BaseException):
    """Stands for kill -9: no handler of the project runs."""


@pytest.mark.parametrize("version", ["this one", "one whose curve has no step 0"])
def test_a_killed_training_resumes_in_its_run_and_ends_as_if_undisturbed(
    version: str, tiny_config: TinyConfig, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = src.train.run(tiny_config())
    save = ExampleTrainer._save_checkpoint

    def killed(self: ExampleTrainer, *arguments: object) -> None:
        save(self, *arguments)
        if self.state.global_step == 6:
            raise Killed

    def recorded(self: tracking.Run, row: CurveRow) -> None:
        if version == "this one" or row.step > 0:
            record(self, row)

    record = tracking.Run.on_evaluate
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(ExampleTrainer, "_save_checkpoint", killed)
        patch.setattr(tracking.Run, "on_evaluate", recorded)
        src.train.run(tiny_config())
    resumed = src.train.run(tiny_config())
    assert (resumed.scores, resumed.validation_loss) == (undisturbed.scores, undisturbed.validation_loss)
    assert resumed.steps == undisturbed.steps
    assert len(runs(client)) == 2
    assert {run.info.status for run in runs(client)} == {"FINISHED"}
    history = client.get_metric_history(resumed.run_id, "validation_loss")
    assert sorted({point.step for point in history}) == [0, 3, 6, 9, 10]
    curve = pd.read_csv(Path(tiny_config().folder) / "curve.csv")
    assert curve["step"].tolist() == [0, 3, 6, 9, 10]
    card = (Path(tiny_config().folder) / "model" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| [\d.]+ +\| (\d+) ", card, re.MULTILINE) == ["0", "3", "6", "9", "10"]
    assert not (Path(tiny_config().folder) / "checkpoints").exists()


def test_an_unfinished_training_is_not_resumed_under_another_configuration(
    tiny_config: TinyConfig, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr(training, "save_result", failing)
        src.train.run(tiny_config())
    with pytest.raises(UserError, match=r"\(trainer\.seed was 42, is 7\): set trainer\.resume=never"):
        src.train.run(tiny_config("trainer.seed=7"))
    src.train.run(tiny_config("trainer.seed=7", "trainer.resume=never"))
    assert sorted(run.info.status for run in runs(client)) == ["FAILED", "FINISHED"]


def test_two_trainings_in_one_folder_do_not_mix(tiny_config: TinyConfig) -> None:
    config = tiny_config()
    with (
        exclusive_lock(Path(config.folder)),
        pytest.raises(UserError, match=r"process \d+ on .* since .* running there"),
    ):
        src.train.run(config)
