"""To which store journals are sent: that of the present configuration, that of their project, or one that is named."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from src.config import Config
from src.config.tracking import TrackingConfig
from src.sync import run as sync_command
from src.tracking import start_run, sync_journals
from src.tracking.journal import FILE, Journal
from src.tracking.journal_search import find_journals
from src.utils.errors import UserError
from tests.tracking.conftest import killed_run, recorded_runs

END = {"status": "FINISHED"}


def write_journal(experiment: Path, uri: str, *files: str) -> Journal:
    """Write the journal of a run with artifacts that was never sent."""
    journal = Journal.create(experiment, None, uri, "tiny")
    journal.append("open", new=True, tags={})
    for file in files:
        journal.append("artifact", kept=file, parent=None)
    journal.append("end", **END)
    journal._lock.release()
    return journal


def runs_at(database: Path) -> int:
    if not database.exists():
        return 0
    client = MlflowClient(f"sqlite:///{database}")
    found = client.get_experiment_by_name("tiny")
    return len(client.search_runs([found.experiment_id])) if found else 0


@pytest.fixture
def project(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a store and an experiment's folder, the working directory."""
    folder = tmp_path / "project"
    (folder / "mlruns").mkdir(parents=True)
    shutil.copy(empty_store, folder / "mlruns" / "mlflow.db")
    (folder / "experiments" / "tiny").mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def test_a_journal_for_another_store_is_named_and_not_sent_until_the_store_is_named(
    project: Path, empty_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copy(empty_store, project.parent / "other.db")
    write_journal(project / "experiments" / "tiny", f"sqlite:///{other}")
    with pytest.raises(UserError, match=rf"found 2 for sqlite:///{other}, .* uri=sqlite:///{other}$"):
        sync_command([])
    assert (runs_at(other), runs_at(project / "mlruns" / "mlflow.db")) == (0, 0)
    sync_command(["experiments", f"uri=sqlite:///{other}"])
    assert (runs_at(other), runs_at(project / "mlruns" / "mlflow.db")) == (1, 0)
    assert not find_journals(project / "experiments" / "tiny")


def test_a_named_store_gets_the_journals_of_every_store(project: Path, empty_store: Path) -> None:
    other = shutil.copy(empty_store, project.parent / "other.db")
    for uri in ("http://127.0.0.1:9", "sqlite:///mlruns/mlflow.db"):
        write_journal(project / "experiments" / "tiny", uri)
    sync_command([f"uri=sqlite:///{other}"])
    assert (runs_at(other), runs_at(project / "mlruns" / "mlflow.db")) == (2, 0)


def test_a_training_leaves_journals_for_another_store_alone(
    config: Config, project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = write_journal(Path(config.folder), "http://attacker:5000")
    before = (journal.folder / FILE).read_bytes()
    with start_run(config, {}) as run:
        pass
    assert [found.info.run_id for found in recorded_runs(config)] == [run.run_id]
    assert "found 2 for http://attacker:5000" in caplog.text
    assert (journal.folder / FILE).read_bytes() == before


def test_a_run_whose_journal_is_for_another_store_continues_as_a_new_run(config: Config) -> None:
    with killed_run(config) as killed:
        former = killed.run_id
        journal = killed.queue.journal.folder  # type: ignore[union-attr]
    file = journal / FILE
    header, *lines = file.read_text(encoding="utf-8").splitlines()
    changed = {**json.loads(header), "uri": "http://attacker:5000", "store": None}
    file.write_text("\n".join([json.dumps(changed), *lines, ""]), encoding="utf-8")
    with start_run(config, {}, former=former) as run:
        assert run.run_id != former


@pytest.mark.parametrize("where", ["..", "elsewhere"])
def test_a_journal_is_sent_to_the_store_of_its_project_from_any_working_directory(
    where: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_journal(project / "experiments" / "tiny", "sqlite:///mlruns/mlflow.db")
    elsewhere = (project / where).resolve()
    elsewhere.mkdir(exist_ok=True)
    monkeypatch.chdir(elsewhere)
    before = sorted(elsewhere.iterdir())
    sync_command([str(project / "experiments")])
    assert runs_at(project / "mlruns" / "mlflow.db") == 1
    assert sorted(elsewhere.iterdir()) == before


def test_a_journal_of_a_project_that_moved_is_sent_to_the_store_that_moved_with_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_journal(project / "experiments" / "tiny", "sqlite:///mlruns/mlflow.db")
    moved = project.rename(project.parent / "moved")
    monkeypatch.chdir(moved)
    sync_command([])
    assert runs_at(moved / "mlruns" / "mlflow.db") == 1
    assert not project.exists()


def test_a_journal_of_the_former_version_is_sent_to_the_present_store_with_its_own_files_only(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = project / "id_rsa"
    secret.write_text("SECRET KEY")
    folder = project / "experiments" / "tiny" / "journal" / "20250101-000000-deadbeef"
    (folder / "ab").mkdir(parents=True)
    (folder / "ab" / "curve.csv").write_text("step")
    stored = {"uri": "sqlite:///mlruns/mlflow.db", "artifacts": f"{project}/attacker", "models": True}
    operations: list[tuple[str, dict[str, Any]]] = [
        ("open", {"new": True, "tags": {"folder": "x"}}),
        ("artifact", {"kept": str(secret), "parent": None}),
        ("artifact", {"kept": "../../../../id_rsa", "parent": None}),
        ("artifact", {"kept": "ab/curve.csv", "parent": None}),
        ("end", END),
    ]
    lines: list[dict[str, Any]] = [{"experiment": "tiny", "tracking": stored}]
    for number, (name, values) in enumerate(operations, start=1):
        lines.append({"number": number, "name": name, "at": 1_750_000_000_000, "values": values})
    (folder / FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))
    sync_command([])
    assert runs_at(project / "mlruns" / "mlflow.db") == 1
    assert [path.name for path in (project / "mlruns" / "artifacts").rglob("*") if path.is_file()] == ["curve.csv"]
    assert "line 3: expected a valid value kept" in caplog.text
    assert not (project / "attacker").exists()


def test_an_operation_whose_file_is_gone_does_not_hold_up_the_others(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_journal(project / "experiments" / "tiny", TrackingConfig().uri, "ab/plot.png")
    sync_command([])
    assert "operation 2 cannot be sent: expected the file" in caplog.text
    client = MlflowClient(f"sqlite:///{project}/mlruns/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert run.info.status == "FINISHED"


def test_a_damaged_journal_does_not_hold_up_the_others(project: Path) -> None:
    damaged = write_journal(project / "experiments" / "tiny", TrackingConfig().uri)
    (damaged.folder / FILE).write_bytes(b"damaged\n")
    write_journal(project / "experiments" / "tiny", TrackingConfig().uri)
    sync_command([])
    assert runs_at(project / "mlruns" / "mlflow.db") == 1
    assert sync_command([]) == []


def test_journals_of_linked_experiments_are_found(project: Path) -> None:
    elsewhere = project.parent / "disk"
    write_journal(elsewhere, TrackingConfig().uri)
    (project / "experiments" / "linked").symlink_to(elsewhere)
    (elsewhere / "circle").symlink_to(project / "experiments")
    (report,) = sync_journals(Path("experiments"), TrackingConfig())
    assert (report.sent, report.left) == (2, 0)


def test_only_a_registration_that_both_the_run_and_the_present_configuration_want_is_made(
    project: Path, tiny_encoder_folder: Path
) -> None:
    journal = write_journal(project / "experiments" / "tiny", TrackingConfig().uri)
    shutil.copytree(tiny_encoder_folder, journal.folder / "ab" / "model")
    reopened = Journal(journal.folder)
    reopened.append("model", kept="ab/model", step=1, register=True, scores={})
    reopened.append("end", **END)
    reopened._lock.release()
    tracking = replace(TrackingConfig(), register=False)
    (report,) = sync_journals(Path("experiments"), tracking)
    assert report.left == 0
    client = MlflowClient(f"sqlite:///{project}/mlruns/mlflow.db")
    assert len(client.search_logged_models([client.get_experiment_by_name("tiny").experiment_id])) == 1
    assert not client.search_registered_models()


def test_a_journal_without_an_operation_is_no_run(config: Config) -> None:
    Journal.create(Path(config.folder), None, config.tracking.uri, config.name)._lock.release()
    with start_run(config, {}) as run:
        pass
    assert [each.info.run_id for each in recorded_runs(config)] == [run.run_id]
    assert not find_journals(Path(config.folder))
