"""The SQLite file of a store: a damaged one is replaced, any other is left as it is."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from src.config import Config
from src.config.tracking import engine_uri
from src.tracking import database as databases
from src.tracking import start_run
from src.tracking.database import set_damaged_store_aside
from tests.tracking.conftest import killed_run, recorded_runs


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "page":
        path.write_bytes(content[:8192] + bytes(4096) + content[12288:])
    else:
        path.write_bytes({"empty": b"", "text": b"no database" * 400, "cut": content[:5000]}[how])


@pytest.fixture
def store(tmp_path: Path, empty_store: Path) -> Path:
    return Path(shutil.copy(empty_store, tmp_path / "mlflow.db"))


@pytest.mark.parametrize("how", ["empty", "text", "cut", "page"])
def test_a_damaged_store_is_named_and_set_aside_and_the_training_goes_on(
    how: str, config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "mlflow.db"
    damage(path, how)
    content = path.read_bytes()
    (tmp_path / "mlflow.db-wal").write_bytes(b"")
    with start_run(config, {}) as run:
        assert run.behind is None
    assert [found.info.run_id for found in recorded_runs(config)] == [run.run_id]
    assert (tmp_path / "mlflow.db.damaged").read_bytes() == content
    assert f"kept as {path}.damaged" in caplog.text


def test_a_run_that_was_in_a_damaged_store_continues_as_a_new_one(config: Config, tmp_path: Path) -> None:
    with killed_run(config) as killed:
        former = killed.run_id
    damage(tmp_path / "mlflow.db", "text")
    SqlAlchemyStore._engine_map[engine_uri(config.tracking.uri)].dispose()  # as in a new process
    with start_run(config, {}, former=former) as run:
        run.log_metrics({"loss": 0.5}, 1)
    assert [found.info.run_id for found in recorded_runs(config)] == [run.run_id]
    assert run.run_id != former


def test_a_sound_a_locked_and_another_file_are_left_alone(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "LOCK_TIMEOUT", 0.05)
    notes = tmp_path / "notes.txt"
    notes.write_text("no database" * 100)
    before = sorted(tmp_path.iterdir())
    assert not set_damaged_store_aside(store)
    assert not set_damaged_store_aside(notes)
    assert not set_damaged_store_aside(tmp_path / "missing.db")
    with closing(sqlite3.connect(store, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        assert not set_damaged_store_aside(store)
    assert sorted(path for path in tmp_path.iterdir() if path.suffix != ".db-journal") == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write any file")
def test_a_file_that_the_user_cannot_write_is_left_alone(store: Path) -> None:
    damage(store, "page")
    store.chmod(0o444)
    assert not set_damaged_store_aside(store)
