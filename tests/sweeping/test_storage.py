"""The database: addresses without secrets, paths with any character, damage, outages."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DatabaseError, OperationalError

from src.config import SweepSettings
from src.config.commands import SweepConfig
from src.sweeping import storage
from src.sweeping.coordinator import parent_config
from src.sweeping.storage import DatabaseUnreachable, open_storage, set_damaged_study_aside
from src.sweeping.study import SweepStudy
from src.utils.errors import UserError
from tests.sweeping.test_study import with_sweep

Sweep = Callable[..., SweepSettings]
SECRET = "S3CR3T"
SECRETS = [
    f"postgresql://me:{SECRET}@127.0.0.1:1/db",
    f"postgresql://me@127.0.0.1:1/db?password={SECRET}",
    f"postgresql+psycopg://127.0.0.1:1/db?user=me&password={SECRET}",
]


@pytest.mark.parametrize("url", SECRETS)
def test_a_password_is_in_no_message_and_no_parameter(url: str, sweep_config: Sweep) -> None:
    with pytest.raises(UserError) as refused:
        open_storage(url, 20)
    recorded = str(parent_config(sweep_config(storage=url)))
    assert "127.0.0.1" in str(refused.value)
    assert "127.0.0.1" in recorded
    assert SECRET not in str(refused.value) + recorded
    with pytest.raises(UserError) as refused:
        sweep_config(storage=url.replace("postgresql", "mysql"))
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("name", ["a?b", "a%20b", "a#b", "방 하나", "{x}", "a%%b"])
def test_the_database_lies_in_a_folder_of_any_name(name: str, sweep_config: Sweep, tmp_path: Path) -> None:
    folder = tmp_path / name
    SweepStudy(with_sweep(sweep_config(), folder)).create()
    assert (folder / "sweep" / "study.db").is_file()
    assert not [path for path in tmp_path.iterdir() if path.name not in (name, "mlflow.db", "pairs.csv")]


def damage_pages(database: Path) -> None:
    content = bytearray(database.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    database.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [lambda path: path.write_bytes(b""), lambda path: path.write_text("no database" * 99), damage_pages]
)
def test_a_damaged_file_is_named_and_set_aside(
    damage: Callable[[Path], object], sweep_config: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    config = sweep_config()
    study = SweepStudy(config)
    study.create()
    assert not set_damaged_study_aside(study.url)
    database = study.folder / "study.db"
    damage(database)
    assert set_damaged_study_aside(study.url)
    assert (study.folder / "study.db.damaged").exists()
    assert f"{database}: expected the database of the sweep, found" in capsys.readouterr().out
    SweepStudy(config).create()


def test_a_locked_file_is_not_taken_for_damaged(sweep_config: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "LOCK_TIMEOUT", 0.01)
    study = SweepStudy(sweep_config())
    study.create()
    with closing(sqlite3.connect(study.folder / "study.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert not set_damaged_study_aside(study.url)
    assert study.trials() == []


def outage(times: int) -> Callable[..., None]:
    """Return a method that fails this many times as an unreachable server does."""
    left = iter(range(times))

    def method(*_: object) -> None:
        if next(left, None) is not None:
            raise StorageInternalError("commit") from OperationalError("SELECT", {}, OSError(f"refused {SECRET}"))

    return method


def test_a_database_that_does_not_answer_is_waited_for(
    sweep_config: Sweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(storage.time, "sleep", lambda _: None)
    patience = SweepStudy(sweep_config()).storage.patience  # type: ignore[attr-defined]
    patience.call(outage(5))
    assert capsys.readouterr().out.count("does not answer") == 1
    patience.url = SECRETS[0]
    monkeypatch.setattr(storage, "PATIENCE", 0)
    with pytest.raises(DatabaseUnreachable, match="expected a database that answers, found none") as refused:
        patience.call(outage(1))
    assert SECRET not in str(refused.value)


def test_a_database_that_is_waited_for_costs_no_living_process_its_trial() -> None:
    heartbeat = SweepConfig().heartbeat
    assert 3 * heartbeat > heartbeat + storage.PATIENCE  # the last one may have been an interval before the silence


def test_other_errors_of_a_database_pass_through(sweep_config: Sweep) -> None:
    patience = SweepStudy(sweep_config()).storage.patience  # type: ignore[attr-defined]

    def failing() -> None:
        raise DatabaseError("SELECT", {}, sqlite3.DatabaseError("malformed"))

    with pytest.raises(DatabaseError):
        patience.call(failing)


def test_a_study_of_another_user_is_one_sentence(sweep_config: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    config = sweep_config()
    SweepStudy(config).create()
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(UserError, match=r"study\.db is not writable for this user: check the address and the perm"):
        SweepStudy(config)
