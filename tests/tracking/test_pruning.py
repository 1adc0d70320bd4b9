"""Removal of models: which are kept, what stays in the store, files elsewhere, interruptions, a server."""

import math
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from src.config.tracking import TrackingConfig
from src.evaluation.metrics import NDCG, SPEARMAN
from src.tracking import download_model
from src.tracking.model_files import LocalFiles, ServedFiles
from src.tracking.pruning import list_models, remove_models
from src.tracking.registry import Measured, log_model, register_model
from src.tracking.store import connect, default_store, open_store, set_views
from src.tracking.tags import SHAPE
from src.tracking.views import changed_tags
from src.utils.errors import UserError
from tests.tracking.test_server import Server


class Store(NamedTuple):
    """A store with the experiment `tiny`."""

    uri: str
    client: MlflowClient
    experiment: str
    scratch: Path

    def run(self, name: str, score: float | None = None, status: str | None = "FINISHED") -> str:
        """Record a run; return its id."""
        run_id = str(self.client.create_run(self.experiment, run_name=name).info.run_id)
        if score is not None:
            self.client.log_metric(run_id, SPEARMAN, score)
        if status:
            self.client.set_terminated(run_id, status)
        return run_id

    def model(self, run_id: str, score: float | None = None, ready: bool = True, upload: bool = True) -> str:
        """Log a model with files of about 1,000 bytes in a run; return its id."""
        model = self.client.create_logged_model(self.experiment, "tiny", run_id)
        if score is not None:
            point = Metric(SPEARMAN, score, 1, 1, model.model_id, run_id=run_id)
            self.client.log_batch(run_id, metrics=[point])
        if upload:
            self.upload(model.model_id, f"model_id: {model.model_id}\nrun_id: {run_id}\n")
        if ready:
            self.client.finalize_logged_model(model.model_id, "READY")
        return str(model.model_id)

    def upload(self, model_id: str, description: str) -> None:
        folder = self.scratch / model_id
        (folder / "inner").mkdir(parents=True)
        (folder / "MLmodel").write_text(description)
        (folder / "inner" / "weights").write_bytes(bytes(1000))
        self.client.log_model_artifacts(model_id, str(folder))
        shutil.rmtree(folder)

    def named(self, name: str, score: float | None = None) -> str:
        """Record a finished run with a model; return the model's id."""
        return self.model(self.run(name, score), score)

    def folder(self, model_id: str) -> Path:
        """Return the folder of a model in an SQLite store."""
        return artifacts(self) / "models" / model_id

    def prune(self, keep: int = 0) -> list[str]:
        """Remove models; return their ids."""
        return [model.model_id for model in remove_models(self.uri, list_models(self.uri, [], keep))]


def artifacts(store: Store) -> Path:
    return Path(store.uri.removeprefix("sqlite:///")).parent / "artifacts" / "tiny"


@pytest.fixture
def store(tmp_path: Path, empty_store: Path) -> Store:
    folder = tmp_path / "sto%20re 한글"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    tracking = TrackingConfig(uri=f"sqlite:///{folder}/mlflow.db")
    return Store(tracking.uri, *open_store(tracking, "tiny"), tmp_path / "scratch")


def register(store: Store, model_id: str) -> str:
    """Register a model as sts/1, without the help of its run."""
    store.client.create_registered_model("sts")
    with default_store(store.client):
        return str(store.client.create_model_version("sts", f"models:/{model_id}", model_id=model_id).version)


def reasons(store: Store, keep: int) -> dict[str, str]:
    return {model.run_name: model.reason for model in list_models(store.uri, [], keep)}


def test_registered_best_and_running_models_are_kept_and_the_others_go(store: Store) -> None:
    kept = [store.named("best", 0.9), store.named("good", 0.8)]
    low, none = store.named("low", 0.7), store.named("none")
    old = store.named("registered", 0.1)
    version = register(store, old)
    store.client.set_registered_model_alias("sts", "staging", version)
    running = store.model(store.run("running", 0.95, status=None), 0.95)
    half = store.model(store.run("half", 0.99, status="KILLED"), 0.99, ready=False)
    deleted_run = store.run("deleted", 0.99)
    deleted = store.model(deleted_run, 0.99)
    store.client.delete_run(deleted_run)
    assert reasons(store, 2) == {
        "best": "best 1 of 2",
        "good": "best 2 of 2",
        "low": "neither registered nor among the best",
        "none": "neither registered nor among the best",
        "registered": "registered as sts/1, staging",
        "running": "running",
        "half": "incomplete upload",
        "deleted": "run deleted",
    }
    assert set(store.prune(keep=2)) == {low, none, half, deleted}
    for model_id in (*kept, old, running):
        assert (store.folder(model_id) / "artifacts" / "inner" / "weights").is_file()
        assert store.client.get_logged_model(model_id)
    for model_id in (low, none, half, deleted):
        assert not store.folder(model_id).exists()
        with pytest.raises(MlflowException, match="not found"):
            store.client.get_logged_model(model_id)


def test_the_score_of_a_model_goes_before_that_of_its_run_and_none_is_the_worst(store: Store) -> None:
    run_id = store.run("reported")
    reported = store.model(run_id, 0.9)
    store.client.log_metric(run_id, SPEARMAN, 0.2, step=2)  # a later point of the run's own curve
    store.model(store.run("curve", 0.8))
    store.model(store.run("nan", math.nan))
    listed = list_models(store.uri, [], 1)
    assert [(model.run_name, model.score) for model in listed] == [
        ("reported", 0.9), ("curve", 0.8), ("nan", -math.inf)
    ]  # fmt: skip
    assert [model.model_id for model in listed if not model.removable] == [reported]


def test_each_leading_metric_has_its_own_best(store: Store) -> None:
    scored = {name: store.named(name, score) for name, score in (("a", 0.5), ("b", 0.4))}
    triplets = {name: store.named(name) for name in ("c", "d")}
    for model_id, score in zip(triplets.values(), (0.2, 0.9), strict=True):
        run_id = store.client.get_logged_model(model_id).source_run_id
        store.client.set_tag(run_id, SHAPE, "triplets")
        store.client.log_metric(run_id, NDCG, score)
        store.client.log_metric(run_id, SPEARMAN, 0.99)  # not its leading metric
    kept = {model.model_id: (model.metric.label, model.score) for model in list_models(store.uri, [], 1)}
    assert kept[triplets["d"]] == ("nDCG@10", 0.9) and kept[scored["a"]] == ("Spearman", 0.5)
    assert set(store.prune(keep=1)) == {scored["b"], triplets["c"]}


def test_listing_changes_nothing(store: Store) -> None:
    store.named("a", 0.5)
    before = {path: path.stat().st_mtime_ns for path in artifacts(store).rglob("*")}
    (model,) = list_models(store.uri, [], 0)
    assert model.removable
    assert model.size > 1000
    assert {path: path.stat().st_mtime_ns for path in artifacts(store).rglob("*")} == before
    assert store.client.get_logged_model(model.model_id)


def test_the_run_of_a_removed_model_keeps_all_else(store: Store, tmp_path: Path) -> None:
    run_id = store.run("a", 0.5)
    store.client.log_param(run_id, "trainer.seed", 1)
    (tmp_path / "curve.csv").write_text("step")
    store.client.log_artifact(run_id, str(tmp_path / "curve.csv"))
    store.model(run_id, 0.5)
    before = store.client.get_run(run_id).data.to_dictionary()
    assert len(store.prune()) == 1
    assert store.client.get_run(run_id).data.to_dictionary() == before
    assert Path(store.client.download_artifacts(run_id, "curve.csv", str(tmp_path))).read_text() == "step"


def test_a_kept_model_loads(store: Store, tiny_encoder_folder: Path, tmp_path: Path) -> None:
    ids = []
    for name, score in (("registered", 0.1), ("best", 0.9)):
        run_id = store.run(name, score)
        ids.append(log_model(store.client, run_id, tiny_encoder_folder, "tiny", Measured({}, None, 0, 0)))
        if name == "registered":
            register_model(store.client, run_id, ids[0], "tiny", {})
            store.client.set_registered_model_alias("tiny", "champion", "1")
    dropped = store.named("dropped", 0.5)
    assert store.prune(keep=1) == [dropped]
    for number, address in enumerate(("models:/tiny/1", "models:/tiny@champion", f"models:/{ids[1]}")):
        target = tmp_path / str(number)
        target.mkdir()
        assert (download_model(address, store.uri, target) / "model.safetensors").is_file()


def test_all_pages_are_read(store: Store) -> None:
    best, run_id = store.named("best", 0.9), store.run("a")
    ids = {store.model(run_id, upload=False) for _ in range(104)}  # a page has 100
    assert set(store.prune(keep=1)) == ids
    assert [model.model_id for model in store.client.search_logged_models([store.experiment])] == [best]


def test_only_the_named_experiments_are_pruned(store: Store) -> None:
    store.named("a")
    other = store.client.create_experiment("other", artifact_location=(artifacts(store).parent / "other").as_uri())
    inner = store._replace(experiment=other)
    inner.named("b")
    listed = list_models(store.uri, ["other"], 0)
    assert [(model.experiment, model.run_name) for model in listed] == [("other", "b")]
    assert {model.run_name for model in list_models(store.uri, [], 0)} == {"a"}  # the other is not of this project
    set_views(store.client, store.client.get_experiment(other))
    assert {model.run_name for model in list_models(store.uri, [], 0)} == {"a", "b"}
    with pytest.raises(UserError, match=r"--experiment none: expected an experiment .* other, tiny"):
        list_models(store.uri, ["none"], 0)


@pytest.mark.parametrize("at", ["remove", "size"])
def test_an_interrupted_removal_is_finished_by_the_next(at: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    model_id = store.named("a", 0.5)
    listed = list_models(store.uri, [], 0)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        if at == "remove":
            patch.setattr(LocalFiles, "remove", killed)
        else:
            patch.setattr("src.tracking.model_files.shutil.rmtree", killed)
        remove_models(store.uri, listed)
    assert not store.client.search_logged_models([store.experiment])
    assert store.folder(model_id).exists()
    assert reasons(store, 3) == {"a": "files of a deleted model"}
    assert store.prune(keep=3) == [model_id]
    assert not store.folder(model_id).exists()
    assert list_models(store.uri, [], 0) == []


def test_files_of_a_model_that_another_store_knows_stay(store: Store) -> None:
    model_id = store.named("a", 0.5)
    foreign = store.folder("m-" + "0" * 32)
    shutil.copytree(store.folder(model_id), foreign)
    (foreign / "artifacts" / "MLmodel").write_text(f"model_id: {foreign.name}\nrun_id: unknown\n")
    assert store.prune() == [model_id]
    assert foreign.exists()


def elsewhere(store: Store, model_id: str, tmp_path: Path) -> None:
    """Let the store give a location outside the experiment's folder."""
    outside = tmp_path / "outside"
    shutil.copytree(store.folder(model_id) / "artifacts", outside)
    with closing(sqlite3.connect(store.uri.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        connection.execute("UPDATE logged_models SET artifact_location = ?", (outside.as_uri(),))


def other_name(store: Store, model_id: str, tmp_path: Path) -> None:
    (store.folder(model_id) / "artifacts" / "MLmodel").write_text("model_id: m-2\n")


def no_description(store: Store, model_id: str, tmp_path: Path) -> None:
    (store.folder(model_id) / "artifacts" / "MLmodel").unlink()


def damaged(store: Store, model_id: str, tmp_path: Path) -> None:
    (store.folder(model_id) / "artifacts" / "MLmodel").write_bytes(b"\xff{: [")


def linked(store: Store, model_id: str, tmp_path: Path) -> None:
    store.folder(model_id).rename(tmp_path / "outside")
    store.folder(model_id).symlink_to(tmp_path / "outside")


def link_inside(store: Store, model_id: str, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").touch()
    (store.folder(model_id) / "artifacts" / "link").symlink_to(tmp_path / "outside")


@pytest.mark.parametrize("change", [elsewhere, other_name, no_description, damaged, linked, link_inside])
def test_files_that_may_not_be_those_of_the_model_stay(
    change: Callable[[Store, str, Path], None], store: Store, tmp_path: Path
) -> None:
    model_id = store.named("a", 0.5)
    change(store, model_id, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    (model,) = list_models(store.uri, [], 0)
    assert not model.removable
    assert "expected" in model.reason
    assert store.prune() == []
    assert sorted(tmp_path.rglob("*")) == before
    assert store.client.get_logged_model(model_id)


def test_models_of_a_folder_that_is_not_here_are_left(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.named("a", 0.5)
    artifacts(store).rename(artifacts(store).with_name("unmounted"))
    assert list_models(store.uri, [], 0) == []
    assert "expected a folder of this machine" in caplog.text


def test_a_model_without_files_is_marked_as_deleted(store: Store) -> None:
    store.named("other")
    model_id = store.model(store.run("a"), 0.5, upload=False)
    assert model_id in store.prune()


def test_a_model_that_is_registered_after_the_listing_is_left(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    model_id = store.named("a", 0.5)
    listed = list_models(store.uri, [], 0)
    register(store, model_id)
    assert remove_models(store.uri, listed) == []
    assert "registered as sts/1 by now" in caplog.text
    assert store.folder(model_id).exists()


def test_an_unreachable_server_is_reported() -> None:
    with pytest.raises(UserError, match=r"expected an MLflow store that answers"):
        list_models("http://127.0.0.1:9", [], 0)


@pytest.mark.slow
def test_models_of_a_server_are_removed_through_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(server.uri)
    store = Store(server.uri, client, client.create_experiment("tiny", tags=changed_tags({})), tmp_path / "scratch")
    kept, gone, left = store.named("best", 0.9), store.named("low", 0.5), store.named("left", 0.4)
    models = server.folder / "art" / store.experiment / "models"

    def refused(*_: object) -> None:
        raise MlflowException("403 Client Error: Forbidden")

    with monkeypatch.context() as patch, pytest.raises(UserError, match=f"files of {left}, found 403 Client Error"):
        patch.setattr(ServedFiles, "remove", refused)
        remove_models(server.uri, [each for each in list_models(server.uri, [], 1) if each.model_id == left])
    listed = {each.model_id: each for each in list_models(server.uri, [], 1)}
    assert {model_id: each.removable for model_id, each in listed.items()} == {kept: False, gone: True, left: True}
    assert listed[gone].size == sum(path.stat().st_size for path in (models / gone).rglob("*") if path.is_file())
    assert set(store.prune(keep=1)) == {gone, left}
    assert [path.name for path in models.iterdir()] == [kept]
    assert {each.model_id for each in list_models(server.uri, [], 1)} == {kept}
