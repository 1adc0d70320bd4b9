"""Models in the store: their names, metrics and data sets, and timeouts of uploads."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow import MlflowClient
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT
from mlflow.exceptions import MlflowException

from src.config import Config
from src.data import ExampleSet, digest, load_examples
from src.encoder import base_of
from src.evaluation.metrics import NDCG, SPEARMAN
from src.tracking import RECIPE, list_experiments, registry, start_run
from src.tracking.store import open_store
from src.utils.errors import UserError
from tests.tracking.conftest import history, locked, recorded_runs, sync


@pytest.fixture
def tested(config: Config) -> ExampleSet:
    """Pairs with a test split."""
    pairs = load_examples(config.data)
    return replace(pairs, test=pairs.train.select(range(20)))


def log_scored(config: Config, folder: Path, pairs: ExampleSet, score: float, curve: float) -> str:
    """Record a training whose curve ends with one score on dev, and whose model has another on the reported split."""
    with start_run(config, {RECIPE: "3fa9c21b lr 5e-05"}) as run:
        run.log_sources(pairs, base_of(config.model))
        run.log_metrics({SPEARMAN: curve}, 3)
        bounds = {f"{SPEARMAN}_low": score - 0.1, "validation_loss": float("nan")}
        run.log_model(folder, 3, {SPEARMAN: score, **bounds}, pairs)
    return run.run_id


def test_models_are_ordered_by_the_score_on_the_reported_split(
    config: Config, tiny_encoder_folder: Path, tested: ExampleSet
) -> None:
    config.tracking.register = False
    curves = {0.5: 0.9, 0.8: 0.1, 0.7: 0.3}
    ids = {score: log_scored(config, tiny_encoder_folder, tested, score, curve) for score, curve in curves.items()}
    client = MlflowClient(config.tracking.uri)
    experiments = [client.get_experiment_by_name("tiny").experiment_id]
    order = [{"field_name": f"metrics.{SPEARMAN}", "ascending": False}]
    models = list(client.search_logged_models(experiments, order_by=order))
    assert [model.source_run_id for model in models] == [ids[0.8], ids[0.7], ids[0.5]]
    assert {model.name for model in models} == {"tiny"} and models[0].params["trainer.seed"] == "42"
    key = ("pairs.csv test", digest(tested.reported))
    metrics = {(each.key, each.value, each.dataset_name, each.dataset_digest) for each in models[0].metrics}
    assert metrics == {(SPEARMAN, 0.8, *key), (f"{SPEARMAN}_low", 0.8 - 0.1, *key)}
    inputs = client.get_run(ids[0.8]).inputs.dataset_inputs
    assert key in {(each.dataset.name, each.dataset.digest) for each in inputs}
    assert history(config, ids[0.8], SPEARMAN) == [(3, 0.1), (3, 0.8)]


def test_a_model_keeps_its_metrics_where_recording_them_was_interrupted(
    config: Config, tiny_encoder_folder: Path, tested: ExampleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any) -> None:
        raise TimeoutError

    with monkeypatch.context() as patch:
        patch.setattr(registry.MlflowClient, "log_model_artifacts", lost)
        log_scored(config, tiny_encoder_folder, tested, 0.8, 0.1)
    sync(config)
    (run,) = recorded_runs(config)
    client = MlflowClient(config.tracking.uri)
    (model,) = client.search_logged_models([run.info.experiment_id])
    assert {each.key: each.value for each in model.metrics}[SPEARMAN] == 0.8
    assert history(config, run.info.run_id, SPEARMAN) == [(3, 0.1), (3, 0.8)]
    (version,) = client.search_model_versions("name = 'tiny'")
    assert client.get_model_version("tiny", version.version).tags == {SPEARMAN: "0.8000", RECIPE: "3fa9c21b lr 5e-05"}


def test_a_model_in_a_journal_of_an_earlier_version_has_its_scores(config: Config, tiny_encoder_folder: Path) -> None:
    config = replace(config, name="1.10")
    with locked(config), start_run(config, {}) as run:
        kept = run.queue.snapshot(tiny_encoder_folder)
        run.queue.enqueue("model", **(kept or {}), step=3, register=True, scores={SPEARMAN: 0.8})
    sync(config)
    client = MlflowClient(config.tracking.uri)
    (model,) = client.search_logged_models([client.get_experiment_by_name("1.10").experiment_id])
    assert (model.name, [(each.key, each.value, each.dataset_name) for each in model.metrics]) == (
        "1_10",
        [(SPEARMAN, 0.8, None)],
    )
    assert client.get_model_version("1.10", "1").tags == {SPEARMAN: "0.8000"}


def test_a_version_has_the_metrics_that_a_summary_shows(config: Config, tiny_encoder_folder: Path) -> None:
    names = [
        NDCG,
        "cosine_accuracy",
        f"{NDCG}_dim_16",
        "cosine_accuracy_dim_16",
        "sts/pearson_cosine",
        f"sts/{SPEARMAN}",
    ]
    values = {f"{name}{end}": 0.5 for name in names for end in ("", "_low", "_high")}
    with start_run(config, {}) as run:
        run.log_model(tiny_encoder_folder, 1, values | {"validation_loss": 0.1})
    tags = MlflowClient(config.tracking.uri).get_model_version("tiny", "1").tags
    assert tags == dict.fromkeys([NDCG, "cosine_accuracy", f"{NDCG}_dim_16", f"sts/{SPEARMAN}"], "0.5000")


def test_the_upload_of_a_model_has_a_longer_timeout_than_other_requests(
    config: Config, tiny_encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeouts: list[int] = []

    def log(*_: Any) -> None:
        timeouts.append(MLFLOW_HTTP_REQUEST_TIMEOUT.get())
        raise TimeoutError

    monkeypatch.setattr(registry.MlflowClient, "log_model_artifacts", log)
    with start_run(config, {}) as run:
        run.log_model(tiny_encoder_folder, 1, {})
    assert set(timeouts) == {120}
    assert MLFLOW_HTTP_REQUEST_TIMEOUT.get() == 1


def test_an_experiment_that_another_machine_has_just_made_is_used(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start_run(config, {}) as run:
        pass
    find, asked = MlflowClient.get_experiment_by_name, []

    def late(client: MlflowClient, name: str) -> Any:
        asked.append(name)
        return find(client, name) if len(asked) > 1 else None

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", late)
    _, found = open_store(config.tracking, "tiny")
    assert found == MlflowClient(config.tracking.uri).get_run(run.run_id).info.experiment_id


def test_a_run_whose_files_cannot_be_recorded_has_failed(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(MlflowClient, "log_artifact", full)
    (tmp_path / "table.csv").touch()
    with pytest.raises(UserError, match="No space left"):
        registry.log_files(config.tracking.uri, "comparisons", "one and two", [tmp_path / "table.csv"], {})
    client = MlflowClient(config.tracking.uri)
    (run,) = client.search_runs([client.get_experiment_by_name("comparisons").experiment_id])
    assert run.info.status == "FAILED"


def test_a_database_of_another_program_gets_no_tables(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    optuna.create_study(storage=f"sqlite:///{path}")
    before = tables(path)
    config.tracking.uri = f"sqlite:///{path}"
    for use in (
        lambda: list_experiments(config.tracking.uri),
        lambda: open_store(config.tracking, "tiny"),
        lambda: registry.download_model("models:/tiny/1", config.tracking.uri, tmp_path),
        lambda: start_run(config, {}).__enter__(),
    ):
        with pytest.raises((UserError, MlflowException), match="a database of another program"):
            use()
    assert tables(path) == before


def tables(path: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall()
