"""The command `python -m src.sync`: output, exit code and imports."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from src.cli import parser_command
from src.config import Config
from src.sync import parser, run
from src.tracking import start_run
from tests.tracking.conftest import killed_run

TinyConfig = Callable[..., Config]

main = parser_command(run, parser())


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    """A connection that can lock the store."""
    monkeypatch.setattr("src.tracking.database.LOCK_TIMEOUT", 0.05)
    with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as connection:
        yield connection


def test_it_sends_entries_and_reports_them(
    tiny_config: TinyConfig, database: sqlite3.Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config()
    database.execute("BEGIN EXCLUSIVE")
    for _ in range(2):
        with start_run(config, {}):
            pass
    with pytest.raises(SystemExit) as left:
        main([str(tmp_path), f"uri={config.tracking.uri}"])
    printed = capsys.readouterr()
    assert left.value.code == 2
    assert len(printed.err.strip().splitlines()) == 1
    assert "found 6 entries not sent (database is locked)" in printed.err
    database.execute("ROLLBACK")
    main([str(tmp_path), f"uri={config.tracking.uri}"])
    printed = capsys.readouterr()
    assert printed.out.count("3 entries sent, 0 left") == 2
    main([str(tmp_path)])
    assert "No entries to send." in capsys.readouterr().out


def test_the_journal_of_a_running_training_is_skipped(
    tiny_config: TinyConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with start_run(tiny_config(), {}) as tracked:
        main([str(tmp_path)])
        assert "open in another process" in capsys.readouterr().out
    assert tracked.behind is None


def test_a_run_that_was_interrupted_is_reported_as_such(
    tiny_config: TinyConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with killed_run(tiny_config()):
        pass
    main([str(tmp_path)])
    assert "the same training command resumes it" in capsys.readouterr().out


@pytest.mark.parametrize("argument", ["--all", "nowhere"])
def test_a_mistake_is_one_sentence(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([argument])
    assert left.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
