"""The command that sends what is behind: what it prints, and its exit code."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from src.config import Config
from src.sync import main
from src.tracking import outage, start_run

TinyConfig = Callable[..., Config]


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    """A connection that can keep the store from others."""
    monkeypatch.setattr(outage, "SECONDS_FOR_A_LOCK", 0.05)
    with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as connection:
        yield connection


def test_it_sends_what_is_behind_and_says_so(
    tiny_config: TinyConfig, database: sqlite3.Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config()
    database.execute("BEGIN EXCLUSIVE")
    for _ in range(2):
        with start_run(config, {}):
            pass
    with pytest.raises(SystemExit) as left:
        main([str(tmp_path)])
    printed = capsys.readouterr()
    assert left.value.code == 2
    assert len(printed.err.strip().splitlines()) == 1
    assert "found 6 that still wait (database is locked)" in printed.err
    database.execute("ROLLBACK")
    main([str(tmp_path)])
    printed = capsys.readouterr()
    assert printed.out.count("3 entries sent, 0 left") == 2
    main([str(tmp_path)])
    assert "Nothing waits" in capsys.readouterr().out


def test_the_journal_of_a_training_at_work_is_left_to_it(
    tiny_config: TinyConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with start_run(tiny_config(), {}) as run:
        main([str(tmp_path)])
        assert "a training is at work there" in capsys.readouterr().out
    assert run.behind is None


@pytest.mark.parametrize("argument", ["--all", "nowhere"])
def test_a_mistake_is_one_sentence(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([argument])
    assert left.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
