"""A store that was moved or copied: runs, models and new artifacts lie where it is now."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from src.config.tracking import TrackingConfig, engine_uri
from src.tracking import download_model, download_result
from src.tracking.relocation import mend_paths
from src.tracking.store import connect, open_store
from src.utils.errors import UserError


@pytest.fixture
def project(tmp_path: Path, empty_store: Path) -> Path:
    """A folder 'here' with a store that has a run with a file and a registered model."""
    mlruns = tmp_path / "he?e %20 한글" / "mlruns"
    mlruns.mkdir(parents=True)
    shutil.copy(empty_store, mlruns / "mlflow.db")
    client, experiment = open_store(store(mlruns.parent), "tiny")
    run = client.create_run(experiment, tags={"journal": "key"}).info.run_id
    (tmp_path / "curve.csv").write_text("step")
    client.log_artifact(run, str(tmp_path / "curve.csv"))
    client.set_terminated(run)
    client.create_registered_model("tiny")
    source = (mlruns / "artifacts" / "tiny" / run / "artifacts").as_uri()
    client.create_model_version("tiny", source, run_id=run)
    return mlruns.parent


def store(project: Path) -> TrackingConfig:
    return TrackingConfig(uri=f"sqlite:///{project}/mlruns/mlflow.db")


def addresses(project: Path) -> list[str]:
    client = MlflowClient(engine_uri(store(project).uri))
    experiment = client.get_experiment_by_name("tiny")
    (run,) = client.search_runs([experiment.experiment_id])
    version = client.get_model_version("tiny", "1")
    return [experiment.artifact_location, run.info.artifact_uri, version.source]


@pytest.mark.parametrize("change", [Path.rename, shutil.copytree], ids=["moved", "copied"])
def test_paths_follow_a_project_that_was_moved_or_copied(
    change: Callable[[Path, Path], object], project: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there = tmp_path / "there"
    change(project, there)
    before = sorted(project.rglob("*")) if project.exists() else []
    uri = store(there).uri
    (tmp_path / "copy").mkdir()
    assert (download_result("tiny", uri, tmp_path / "copy", ["curve.csv"]) / "curve.csv").read_text() == "step"
    root = f"{(there / 'mlruns' / 'artifacts').as_uri()}/tiny"
    assert all(each.startswith(root) for each in addresses(there)), addresses(there)
    client, experiment = open_store(store(there), "tiny")
    client.log_artifact(client.create_run(experiment).info.run_id, str(tmp_path / "curve.csv"))
    assert len(list(there.rglob("curve.csv"))) == 2
    assert (sorted(project.rglob("*")) if project.exists() else []) == before
    assert len(caplog.messages) == 1
    assert "the paths of its artifacts are mended" in caplog.text
    if project.exists():
        assert all(each.startswith((project / "mlruns").as_uri()) for each in addresses(project))


def test_a_registered_model_is_found_after_a_move(project: Path, tmp_path: Path) -> None:
    there = project.rename(tmp_path / "there")
    with pytest.raises(Exception, match=r"MLmodel|Could not find"):  # the folder is found, and holds no model
        download_model("models:/tiny/1", store(there).uri, tmp_path)
    assert all((there / "mlruns").as_uri() in each for each in addresses(there))


@pytest.mark.parametrize("link", ["store", "folder"])
def test_nothing_changes_for_a_store_that_is_only_linked(
    link: str, project: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = addresses(project)
    linked = tmp_path / "linked"
    if link == "folder":
        linked.symlink_to(project)
    else:
        (linked / "mlruns").mkdir(parents=True)
        (linked / "mlruns" / "mlflow.db").symlink_to(project / "mlruns" / "mlflow.db")
    connect(store(linked).uri)
    assert addresses(project) == before
    assert not caplog.messages


def test_artifacts_that_lie_elsewhere_on_purpose_stay_there(
    tmp_path: Path, empty_store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mlruns" / "artifacts" / "tiny").mkdir(parents=True)
    shutil.copy(empty_store, tmp_path / "mlruns" / "mlflow.db")
    tracking = TrackingConfig(uri=store(tmp_path).uri, artifacts=str(tmp_path / "disk" / "artifacts"))
    client, experiment = open_store(tracking, "tiny")
    run = client.create_run(experiment)
    mend_paths(tracking.uri)
    assert client.get_run(run.info.run_id).info.artifact_uri.startswith((tmp_path / "disk").as_uri())
    assert not caplog.messages


def test_a_file_that_cannot_be_copied_is_an_error_and_one_that_the_run_lacks_is_not(
    project: Path, tmp_path: Path
) -> None:
    uri = store(project).uri
    assert not list(download_result("tiny", uri, tmp_path / "copy", ["metrics.json"]).iterdir())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlflow.MlflowClient.download_artifacts", _unreachable)
        with pytest.raises(UserError, match=r"tiny: expected an experiment folder, .* found: the store is unreachable"):
            download_result("tiny", uri, tmp_path / "copy", ["metrics.json", "curve.csv"])


def _unreachable(*_: object) -> None:
    raise MlflowException("the store is unreachable")
